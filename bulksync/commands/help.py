"""Help text around the options: examples that can be copied, and what to do for each exit code."""

HELP = (
    "Update thousands to millions of workflow executions: one rate-limited PUT per row, and a report of every answer."
)

FIRST_STEPS = """\
Examples:
  bulksync run rows.csv --sandbox
      A first run: real requests to an emulated API, no key, no network
  bulksync check rows.csv
      Every error with row and line, before anything is sent
  bulksync run rows.csv --api-key-file ~/.feather-key
      For real; the report is written next to the input, as rows.csv.report.csv
  bulksync COMMAND --help
      All options of a command, with examples

Every option is also a variable (BULKSYNC_RATE=10/s) and a key of config.toml
(rate = "10/s"); flags override variables, variables override the file.
"""

HOW_TO_RUN = """\
Examples:
  bulksync run rows.csv --sandbox
      A first run: no key, no network
  FEATHER_API_KEY=... bulksync run rows.csv --limit 10
      Ten rows for real; the same command without --limit sends the others
  bulksync run rows.csv --api-key-file ~/.feather-key --rate 600/m
      With the key in a private file (chmod 600), with your own quota
  zcat rows.csv.gz | bulksync run - --format csv -o rows.report.csv
      From stdin
  bulksync run rows.csv --quiet --max-duration 4h --lock-wait 10m
      By cron at night: silent when all is well, over before the morning
  bulksync run rows.csv
      Again, after a stop or a crash: sends only what is not done yet
  bulksync run rows.csv --retry-rejected
      Only what the server rejected, and what is left
  bulksync run rows.csv --save-before before.jsonl
      Reads each execution first, which takes a turn more; to undo the run:
      bulksync run before.jsonl
  bulksync run rows.csv --retry-file left.csv --summary summary.json
      With the rows still to be done as a file, and the counts as JSON
  bulksync run rows.csv --rejected-file fix.csv
      With the rejected and invalid rows as a file, to fix and run
  bulksync run leads.csv --map executionId=Call --set status=COMPLETED
      With a column of another name, and one status for all rows

Exit codes:
  0              every row is done
  4, 6, 10       not yet: the same command again, later
  129, 130, 143  stopped by HUP, INT (Ctrl-C) or TERM: the same command again
  3, 7           rows to fix: see the columns error and detail of the report
  others         look first; the last line said what to do
"""

HOW_TO_FETCH = """\
Examples:
  bulksync fetch rows.csv
      Into rows.csv.state.jsonl: status, metadata and dispositions, as they are now
  bulksync run rows.csv.state.jsonl
      Puts status and metadata back as they were
  bulksync report rows.csv.state.jsonl.ledger --diff
      Whose disposition moved since an earlier fetch

The same command again reads only what is left; --resend reads everything again.
Whether the API merges metadata or replaces it is not documented: undoing puts
back the status and the old entries, and entries added since may stay. A change
that others make between fetch and undo is overwritten.
"""

HOW_TO_CHECK = """\
Examples:
  bulksync check rows.csv --rate 100/s
      Is it valid, and how long will it take at that rate?
  bulksync check rows.csv --show 3
      The first three requests as a run would send them
  bulksync check leads.xlsx --sheet Calls
      Which columns of a sheet are sent, and which only echoed?
  bulksync check rows.csv --json
      For programs
"""

HOW_TO_REPORT = """\
Examples:
  bulksync report rows.csv.report.csv.ledger
      The report of the latest run once more, byte for byte
  bulksync report rows.csv.report.csv.ledger --output rows.jsonl
      As JSON lines, with every step
  bulksync report rows.csv.report.csv.ledger --diff > moved.csv
      The rows whose disposition differs from the one an earlier run recorded
  bulksync report fetched.ledger --diff --since run.ledger
      Whose disposition moved between a run and a later fetch
"""

HOW_TO_VERIFY = """\
Examples:
  bulksync verify rows.csv rows.csv.report.csv
      Exits 11 if it finds a discrepancy
  bulksync verify rows.csv rows.csv.report.csv --live --sample 500
      Does the server hold what was sent? 500 executions from all over the input
  bulksync verify rows.csv rows.csv.report.csv --live --settle
      Unknown rows that turn out to be applied are not sent again
  bulksync verify rows.csv rows.csv.report.csv --json
      For programs
"""

HOW_TO_HISTORY = """\
Examples:
  bulksync history rows.csv.report.csv.ledger
      Every run that the ledger keeps
  bulksync history rows.csv.report.csv.ledger --json
      For programs
"""

HOW_TO_SANDBOX = """\
Examples:
  bulksync sandbox --port 8099 --rate 10/s
      Then, elsewhere: bulksync run rows.csv --base-url http://127.0.0.1:8099
  bulksync sandbox --faults server_error=0.05,reset_after=0.01
      With faults: what a bad day looks like
"""

HOW_TO_INIT = """\
Example:
  bulksync init demo
      Then: bulksync run demo/rows.csv --sandbox
"""

HOW_TO_COMPLETE = """\
Examples:
  source <(bulksync completion bash)
      In ~/.bashrc
  bulksync completion zsh > ~/.zfunc/_cyclopts_bulksync
      By that name, in a folder of $fpath; before compinit in ~/.zshrc
  bulksync completion fish > ~/.config/fish/completions/bulksync.fish
      Where fish looks for it
"""

HOW_TO_READ_SCHEMAS = """\
Examples:
  bulksync schema
      Keys: summary (of --summary), report (of one line of a report in .jsonl)
"""
