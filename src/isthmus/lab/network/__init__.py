"""What carries packets: wires, the WAN with its cuts and delays, and servers that use them."""
