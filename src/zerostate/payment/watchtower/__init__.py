"""A watchtower: answers for peers that are away when somebody closes by an old state.

A service of its own, with its own key and store. Peers hand in the newest state of each
channel (`client.WatchtowerClient`); the tower (`app.run`) follows the chain and brings
that state when a channel is closed by an older one. It needs no trust: it holds nothing
but what both parties signed, and can do no more with it than either of them.
"""
