"""How an object is realised: from the row of the API down to the tap, at every place. Pure.

`find` says which object a person means, `port`, `network` and `router` follow it down, `by_hand`
builds a bare copy; `document` and `picture` show it.
"""
