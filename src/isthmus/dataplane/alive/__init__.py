"""Who of a site's OVN is alive: questions, and who owes an answer."""
