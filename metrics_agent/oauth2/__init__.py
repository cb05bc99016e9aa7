"""OAuth2 with rotating refresh tokens: the user logs in once, and never again if we can help it.

::

    provider.py    whose login it is: addresses, client, scopes; forms the requests (oauthlib)
    replies.py     what a token endpoint answers -> tokens, or what is wrong (pure)
    quoting.py     what may be shown of its words: none of our secrets (pure)
    tokens.py      a pair of tokens, and the form in which it is stored (pure)
    files.py       the system calls by which a file is replaced
    store.py       the file of tokens: read, locked, replaced so that no crash can damage it
    keeper.py      has the tokens: one refresh at a time, written before they are used
    logins.py      logins under way: their single-use states, and what a redirect says (pure)
    html.py        what the user sees in the browser (pure)
    login_page.py  serves it on loopback and leads through the login
    server.py      the web server beneath it, with limits on what clients can do
    console.py     the same on a terminal, for machines without a browser

The rule that everything else follows from: a server that rotates refresh tokens makes the old
pair useless the moment it answers, so a new pair is on the disk before it is used, and a
refresh does not begin unless it could be written.
"""
