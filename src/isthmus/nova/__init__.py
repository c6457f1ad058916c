"""Nova: a virt driver whose servers are network namespaces. The only room that imports nova."""
