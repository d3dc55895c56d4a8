"""A page of scores and images that opens by a double click: no server, no network, no framework.

`ReportWriter` takes images while they are made, and the folder gets its place when all is scored:
`contents` are facts, `crops` chooses what is shown, `page` renders, `assets` runs in the browser.
"""
