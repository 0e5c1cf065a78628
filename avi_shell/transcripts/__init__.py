"""Transcripts as tests: pasted sessions, played on a fresh configuration and compared, and how they are recorded.

A `NAME.transcript` is what a terminal showed. Lines that begin with a prompt are typed, and so are the lines of a text
up to its END; all others are what the shell must print. A line that ends in ` (re)` or ` (glob)` is a pattern for one
printed line. Above the first prompt stand comments and settings, `#! key: value`:

    #! columns: 80, 200      as terminals of so many columns show it, each in turn; without it, as --transcript prints
    #! normalise: time       what differs from run to run, by name
    #! files: request.txt    beside the transcript, copied into the folder in which it is played
    #! after: site.avi       session files that are run before, without being shown

pytest collects them once this package is installed: `avi_shell.transcripts.plugin`.
"""
