"""The ledger's tables and every statement that reads or writes them."""

from bulksync.ledger.line import Line, NotDone, Problem, Recorded

APPLICATION_ID = 0x626B7379
"""Marks the file as ours ("bksy"), so that another program's database is never touched."""

VERSION = 2
"""The file format; that of an earlier bulksync is upgraded, any other is rejected without guessing."""

SCHEMA = """
CREATE TABLE target (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE);

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    target INTEGER NOT NULL REFERENCES target,
    input TEXT NOT NULL,                   -- what messages call it
    path TEXT NOT NULL,                    -- where it stood
    digest TEXT NOT NULL,                  -- SHA-256 of its bytes
    reading TEXT NOT NULL DEFAULT '{}',    -- JSON: how it was read, and what the report echoes of it
    rows INTEGER NOT NULL DEFAULT 0,
    watermark INTEGER NOT NULL DEFAULT 0,  -- rows up to here may have been sent
    started TEXT NOT NULL,
    ended TEXT,                            -- NULL while it goes on, and after a kill
    exit_code INTEGER,
    summary TEXT NOT NULL DEFAULT '{}'     -- JSON: what the run's end said
);

-- What the input said when it was validated, a thousand rows at a time
CREATE TABLE chunk (
    run INTEGER NOT NULL REFERENCES run,
    first INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (run, first)
) WITHOUT ROWID;

CREATE TABLE line (
    run INTEGER NOT NULL REFERENCES run,
    row INTEGER NOT NULL,
    line INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    execution TEXT NOT NULL,
    requested TEXT NOT NULL,
    due INTEGER NOT NULL,                  -- while this run has still to send it: 1, or 2 if it may go before its turn
    outcome TEXT,                          -- NULL until something became of it
    http INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    returned TEXT NOT NULL DEFAULT '',
    disposition TEXT NOT NULL DEFAULT '',
    steps TEXT NOT NULL DEFAULT '[]',      -- JSON
    started TEXT NOT NULL DEFAULT '',
    completed TEXT NOT NULL DEFAULT '',
    first_sent TEXT,
    finished TEXT,
    duration INTEGER,                      -- of the last request, in ms
    doubtful INTEGER NOT NULL DEFAULT 0,   -- 1: an attempt without a usable answer may have been applied
    error TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    digest TEXT,                           -- of the payload, once it is acknowledged
    PRIMARY KEY (run, row)
) WITHOUT ROWID;

-- The last acknowledged payload of each execution; no entry where another one may have been applied behind it.
-- Taken over from the lines when a run ends or is found killed: keys come in no order, and writing them with every
-- batch would cost a page for each.
CREATE TABLE acknowledged (
    target INTEGER NOT NULL REFERENCES target,
    workflow TEXT NOT NULL,
    execution TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (target, workflow, execution)
) WITHOUT ROWID;
"""

NEW_IN_2 = """
-- With which API keys a target was reached: salted hashes, never the keys
CREATE TABLE access (target TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (target, key)) WITHOUT ROWID;

CREATE TABLE salt (value BLOB NOT NULL);

INSERT INTO salt VALUES (randomblob(16))
"""
UPGRADES = {1: NEW_IN_2}
"""Upgrades a file of each earlier format to the next one."""

SALT = "SELECT value FROM salt"
PROVEN = "SELECT count(*) FROM access WHERE target = ? AND key = ?"
PROVE = "INSERT OR IGNORE INTO access VALUES (?, ?)"

# Runs

ONE_RUN = """
SELECT run.id, name, url, input, path, digest, reading, rows, started, ended, exit_code, nullif(summary, '{}')
FROM run JOIN target ON target.id = run.target
"""
RUNS = f"{ONE_RUN} ORDER BY run.id"
RUN = f"{ONE_RUN} WHERE run.id = ?"
VERB = "coalesce(json_extract(reading, '$.verb'), 'run')"
LATEST = f"{ONE_RUN} WHERE url = ? AND digest = ? AND {VERB} = ? ORDER BY run.id DESC LIMIT 1"
REPORTS = "SELECT DISTINCT json_extract(reading, '$.report') FROM run"
IS_OPEN = """
SELECT count(*) FROM (SELECT 1 FROM line WHERE run = ? AND error <> 'superseded'
    AND (outcome IS NULL OR outcome IN ('failed', 'unknown', 'unsent')) LIMIT 1)
"""
HAS_SENT = "SELECT count(*) FROM (SELECT 1 FROM line WHERE run = ? AND (attempts OR doubtful) LIMIT 1)"
ADD_TARGET = "INSERT OR IGNORE INTO target (url) VALUES (?)"
ADD_RUN = """
INSERT INTO run (name, target, input, path, digest, started)
VALUES (?, (SELECT id FROM target WHERE url = ?), ?, ?, ?, ?)
"""
KEPT = f"""
SELECT id FROM (SELECT id FROM run ORDER BY id DESC LIMIT ?) UNION SELECT max(id) FROM run GROUP BY target, {VERB}
"""  # noqa: S608  a constant
"""The latest runs, and the latest of each kind and target, as those may have to be resumed."""
STALE = f"SELECT id FROM run WHERE id NOT IN ({KEPT})"  # noqa: S608  a constant
FORGET = (
    "DELETE FROM line WHERE run = ?",
    "DELETE FROM chunk WHERE run = ?",
    "DELETE FROM run WHERE id = ?",
)
"""Deletes a run by its number, so that other runs' lines need not be read."""
SET_SETTINGS = "UPDATE run SET rows = ?, reading = ? WHERE id = ?"
SET_REOPENED = """
UPDATE run SET ended = NULL, exit_code = NULL, watermark = 0
WHERE id = :run AND EXISTS (SELECT 1 FROM line WHERE run = :run AND due)
"""
SET_WATERMARK = "UPDATE run SET watermark = max(watermark, ?) WHERE id = ?"
SET_ENDED = "UPDATE run SET ended = ?, exit_code = ?, summary = ? WHERE id = ?"

# Rows to send

ADD_CHUNK = "INSERT INTO chunk (run, first, digest) VALUES (?, ?, ?)"
CHUNK = "SELECT digest FROM chunk WHERE run = ? AND first = ?"
ADD_LINE = """
INSERT INTO line (run, row, line, workflow, execution, requested, due, outcome, error, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEEP_FIRST = """
DELETE FROM line WHERE run = :run AND due AND row NOT IN (
    SELECT min(row) FROM line WHERE run = :run AND due GROUP BY workflow, execution)
"""
DUE_AGAIN = """
UPDATE line SET due = 1 WHERE run = ? AND (outcome IS NULL OR outcome IN ('failed', 'unknown', 'unsent'))
"""
REJECTED_DUE_AGAIN = "UPDATE line SET due = 1 WHERE run = ? AND outcome = 'rejected'"
# CROSS JOIN: rows first, each looked up among the executions. SQLite would otherwise read all rows for each execution.
SKIP_OVERTAKEN = """
UPDATE line SET due = 0 WHERE run = :run AND row IN (
    SELECT row FROM line CROSS JOIN (
        SELECT workflow AS w, execution AS e, max(row) AS last FROM line
        WHERE run = :run AND outcome IN ('updated', 'unchanged') GROUP BY 1, 2) ON workflow = w AND execution = e
    WHERE run = :run AND outcome = 'rejected' AND row < last)
"""
READS = "coalesce(json_extract(reading, '$.reads'), 0)"
"""Whether a run changes nothing at the server: nothing can have been applied or reverted."""
TOUCHED_SINCE = """
FROM run JOIN line ON line.run = run.id
WHERE run.id > :run AND target = (SELECT target FROM run WHERE id = :run)
    AND (outcome IN ('updated', 'unchanged') OR doubtful)
"""
"""Lines of later runs against the same target that updated their execution, or may have."""
SUPERSEDE = f"""
WITH later AS (
    SELECT workflow AS w, execution AS e, max(run.id) AS by, max(row) AS last {TOUCHED_SINCE} GROUP BY 1, 2)
UPDATE line SET due = 0, outcome = coalesce(outcome, 'unsent'), error = 'superseded',
    detail = 'run ' || name || ' has updated this execution since, in row ' || last || '; --resend sends this one too'
FROM (
    SELECT row AS mine, name, last FROM line CROSS JOIN later ON workflow = w AND execution = e JOIN run ON run.id = by
    WHERE line.run = :run AND due)
WHERE run = :run AND row = mine AND NOT (SELECT {READS} FROM run WHERE id = :run)
"""  # noqa: S608  a constant
"""A run's remaining rows must not revert what a later run has done, or may have done."""
ACKNOWLEDGED = """
SELECT count(*) FROM acknowledged JOIN run ON run.id = ? AND run.target = acknowledged.target
WHERE workflow = ? AND execution = ? AND acknowledged.digest = ?
"""
HAS_ACKNOWLEDGED = """
SELECT count(*) FROM (SELECT 1 FROM acknowledged WHERE target = (SELECT target FROM run WHERE id = ?) LIMIT 1)
"""
LEAVE_OUT = """
UPDATE line SET due = 0, outcome = 'unchanged', error = '', detail = ''
WHERE run = :run AND row = :row AND due AND coalesce(outcome, 'unsent') = 'unsent' AND :digest = (
    SELECT a.digest FROM acknowledged AS a JOIN run ON run.id = :run AND run.target = a.target
    WHERE a.workflow = line.workflow AND a.execution = line.execution)
"""
"""Skips a row that was never sent and whose payload is already acknowledged."""
TAKE_BACK = """
UPDATE line SET due = 1, outcome = NULL WHERE run = :run AND row IN (
    SELECT row FROM line CROSS JOIN (
        SELECT workflow AS w, execution AS e, min(row) AS first FROM line
        WHERE run = :run AND due GROUP BY 1, 2) ON workflow = w AND execution = e
    WHERE run = :run AND outcome = 'unchanged' AND row > first)
"""
"""After a row that will be sent, the execution will no longer hold this row's payload."""
TAKE_ALL_BACK = "UPDATE line SET due = 1, outcome = NULL WHERE run = ? AND outcome = 'unchanged'"
MARK_AHEAD = "UPDATE line SET due = 2 WHERE run = ? AND row = ? AND due"
WORKFLOWS = """
SELECT row FROM (
    SELECT row, row_number() OVER (ORDER BY row) - 1 AS n, count(*) OVER () AS all_of_them FROM (
        SELECT min(row) AS row FROM line WHERE run = :run AND due GROUP BY workflow))
WHERE n * :most / all_of_them <> (n - 1) * :most / all_of_them OR n = 0 ORDER BY row LIMIT :most
"""
"""The first due rows of workflows, as many as requested, from the whole input."""
SPREAD = """
SELECT row FROM line AS one WHERE run = :run AND due AND row >= :least AND NOT EXISTS (
    SELECT 1 FROM line WHERE run = :run AND row < one.row AND due
        AND workflow = one.workflow AND execution = one.execution)
ORDER BY row LIMIT 1
"""
"""The first row, starting at a given one, that is the first due row of its execution."""
LAST_DUE = "SELECT min(row), max(row) FROM line WHERE run = ? AND due"
CHUNK_OF = "SELECT digest FROM chunk WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1"
LONGEST_CHAIN = """
SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM line WHERE run = ? AND due GROUP BY workflow, execution)
"""
COUNT_DUE = "SELECT count(*) FROM line WHERE run = ? AND due"
DUE = "SELECT row FROM line WHERE run = ? AND row BETWEEN ? AND ? AND due"

# Outcomes

RECORDED_AT_ONCE = 200
"""Rows recorded by one statement.

SQLite works on them in parallel with the event loop, while row by row the two would pass the GIL back and forth twice
per row (30 µs of 220 per row, measured; 50 rows at once cost 10 µs more than 200).
"""
RECORDED_ROW = f"({', '.join('?' * len(Recorded._fields))})"
"""A row of NULLs matches nothing, and pads the statement so that no second one is needed."""
ADDED = {
    "attempts": "attempts + {}",
    "first_sent": "coalesce(first_sent, strftime('%Y-%m-%dT%H:%M:%fZ', {}, 'unixepoch'))",
    "finished": "strftime('%Y-%m-%dT%H:%M:%fZ', {}, 'unixepoch')",
    "doubtful": "doubtful OR {}",
}
"""How a column gets its new value if it is not simply replaced."""
RECORD = f"""
UPDATE line SET due = 0, {
    ", ".join(
        f"{name} = {ADDED.get(name, '{}').format(f'column{number}')}"
        for number, name in enumerate(Recorded._fields, 1)
        if name != "row"
    )
}
FROM (VALUES {", ".join([RECORDED_ROW] * RECORDED_AT_ONCE)}) WHERE run = ? AND row = column1
"""  # noqa: S608  a constant
RECORD_UNSENT = """
UPDATE line SET
    error = iif(outcome IS NULL OR outcome = 'unsent', ?, error),
    detail = iif(outcome IS NULL OR outcome = 'unsent', ?, detail),
    outcome = coalesce(outcome, 'unsent'), due = 0
WHERE run = ? AND row = ?
"""
SETTLE = """
UPDATE line SET outcome = 'updated', error = '', detail = '', http = ?, attempts = max(attempts, 1), returned = ?,
    disposition = ?, steps = ?, started = ?, completed = ?, doubtful = 0, digest = ?, due = 0
WHERE run = ? AND row = ? AND outcome = 'unknown'
"""
UNSURE = """
SELECT w, e FROM line CROSS JOIN (
    SELECT workflow AS w, execution AS e, min(row) AS first, max(outcome <> 'updated') AS is_open
    FROM line WHERE run = :run AND doubtful GROUP BY 1, 2) ON workflow = w AND execution = e
WHERE run = :run AND (is_open OR (row > first AND (attempts OR doubtful)))
"""
"""Executions whose state at the server is uncertain.

Either a row that may have been applied was not acknowledged; or it was, but an earlier attempt at it may still be
applied, after a later row.
"""
DOUBT = f"""
DELETE FROM acknowledged
WHERE target = (SELECT target FROM run WHERE id = :run) AND (workflow, execution) IN ({UNSURE})
"""  # noqa: S608  a constant
ACKNOWLEDGE = f"""
INSERT OR REPLACE INTO acknowledged (target, workflow, execution, digest)
SELECT target, workflow, execution, line.digest
FROM line JOIN run ON run.id = run LEFT JOIN ({UNSURE}) ON workflow = w AND execution = e
WHERE run = :run AND line.digest IS NOT NULL AND w IS NULL AND (workflow, execution) NOT IN (
    SELECT workflow, execution {TOUCHED_SINCE})
ORDER BY workflow, execution, row
"""  # noqa: S608  a constant
"""Skips executions that a later run has updated, or may have: its digest is newer."""
LEAVE_UNSENT = """
UPDATE line SET
    error = iif(outcome IS NULL OR outcome = 'unsent', ?, error),
    detail = iif(outcome IS NULL OR outcome = 'unsent', ?, detail),
    outcome = coalesce(outcome, 'unsent'), due = 0
WHERE run = ? AND due
"""
UNRESOLVED = """
UPDATE line SET error = 'predecessor_unresolved', detail = 'waits for row ' || first || ' of its execution'
FROM (
    SELECT row AS waits, first FROM line CROSS JOIN (
        SELECT workflow AS w, execution AS e, min(row) AS first FROM line
        WHERE run = :run AND outcome IN ('failed', 'unknown') GROUP BY 1, 2) ON workflow = w AND execution = e
    WHERE run = :run AND outcome = 'unsent' AND error <> 'superseded' AND row > first)
WHERE run = :run AND row = waits
"""

# After a crash

KILLED = "SELECT id FROM run WHERE ended IS NULL"
MAYBE_SENT = f"""
UPDATE line SET outcome = 'unknown', error = 'interrupted', doubtful = 1, due = 0,
    detail = 'the run was killed; this row may have been sent'
WHERE run = :run AND due AND (due = 2 OR row <= (SELECT watermark FROM run WHERE id = :run))
    AND NOT (SELECT {READS} FROM run WHERE id = :run)
"""  # noqa: S608  a constant

# Reports

SHOWN = f"SELECT {', '.join(Line._fields)}"
LINES = f"{SHOWN} FROM line WHERE run = ? ORDER BY row"
CELLS = {
    "row": "row",
    "line": "line",
    "workflowId": "workflow",
    "executionId": "execution",
    "requestedStatus": "requested",
    "outcome": "outcome",
    "httpStatus": "http",
    "attempts": "attempts",
    "returnedStatus": "returned",
    "disposition": "disposition",
    "stepDispositions": """
        CASE json_array_length(steps) WHEN 0 THEN '' WHEN 1 THEN json_extract(steps, '$[0].disposition')
            ELSE (SELECT group_concat(json_extract(value, '$.disposition'), ';') FROM json_each(steps)) END""",
    "startedAt": "started",
    "completedAt": "completed",
    "firstSentAt": "first_sent",
    "finishedAt": "finished",
    "durationMs": "duration",
    "dispositionCertain": "CASE WHEN doubtful THEN 'false' WHEN attempts THEN 'true' END",
    "orderRisk": """
        CASE WHEN NOT (attempts OR doubtful) THEN ''
            WHEN row IN (SELECT value FROM json_each(:risks)) THEN 'true' ELSE 'false' END""",
    "error": "error",
    "detail": "detail",
}
"""The report's columns in the contract's order, with the SQL for each cell; :risks holds the rows at risk."""
JOINED = f"SELECT printf(:form, {', '.join(CELLS.values())}) FROM line WHERE run = :run ORDER BY row"  # noqa: S608  a constant
"""The cells of a CSV report row, joined into one text.

20 cells took 6 µs per row when built in Python; here they take 2, or 3.5 if an execution has several steps (measured).
"""
LINES_OF = f"{SHOWN} FROM json_each(?) AS wanted JOIN line ON row = wanted.value WHERE run = ? ORDER BY wanted.key"
ORDER_RISKS = """
WITH
doubt AS (SELECT workflow AS w, execution AS e, min(row) AS first FROM line
          WHERE run = :run AND doubtful GROUP BY 1, 2),
risk AS (SELECT w, e, first FROM line CROSS JOIN doubt ON workflow = w AND execution = e
         WHERE run = :run AND attempts AND EXISTS (SELECT 1 FROM doubt) GROUP BY 1, 2, 3 HAVING max(row) > first)
SELECT row FROM line CROSS JOIN risk ON workflow = w AND execution = e
WHERE run = :run AND row >= first AND (attempts OR doubtful) AND EXISTS (SELECT 1 FROM doubt)
"""
"""EXISTS is evaluated once: if nothing is ambiguous, which is the usual case, nothing else is read."""
COUNTS = {
    "outcome": "SELECT outcome, count(*) AS n FROM line WHERE run = ? GROUP BY 1 ORDER BY n DESC, 1",
    "disposition": "SELECT disposition, count(*) AS n FROM line WHERE run = ? GROUP BY 1 ORDER BY n DESC, 1",
    "error": "SELECT error, count(*) AS n FROM line WHERE run = ? GROUP BY 1 ORDER BY n DESC, 1",
    "http": "SELECT http, count(*) AS n FROM line WHERE run = ? GROUP BY 1 ORDER BY n DESC, 1",
    "requested": "SELECT requested, count(*) AS n FROM line WHERE run = ? GROUP BY 1 ORDER BY n DESC, 1",
    "step": """
        SELECT json_extract(value, '$.disposition'), count(*) AS n FROM line, json_each(steps)
        WHERE run = ? AND steps <> '[]' GROUP BY 1 ORDER BY n DESC, 1
    """,
}
LATENCIES = """
SELECT duration, count(*) FROM line WHERE run = ? AND http IS NOT NULL AND duration IS NOT NULL GROUP BY 1 ORDER BY 1
"""
FINISHED = """
SELECT CAST(strftime('%s', finished) AS INTEGER), count(*) FROM line WHERE run = ? AND finished IS NOT NULL
GROUP BY 1 ORDER BY 1
"""
NOT_DONE = f"""
SELECT {", ".join(NotDone._fields)} FROM (
    SELECT * FROM line WHERE run = ? AND outcome NOT IN ('updated', 'fetched', 'unchanged')
    ORDER BY outcome = 'unsent', row LIMIT ?)
ORDER BY row
"""  # noqa: S608  a constant

# Changes between runs

COMPARE = (
    "DROP TABLE IF EXISTS temp.asked",
    "DROP TABLE IF EXISTS temp.before",
    """CREATE TEMP TABLE asked (workflow TEXT, execution TEXT, row INTEGER, new TEXT, PRIMARY KEY (workflow, execution))
       WITHOUT ROWID""",
    "CREATE TEMP TABLE before (row INTEGER PRIMARY KEY, run INTEGER, old TEXT, new TEXT, name TEXT)",
)
"""The server's last statement on each execution in a run, and the last one before, from earlier runs."""
EARLIER = """
SELECT one.id, one.rows FROM run JOIN run AS one USING (target) WHERE run.id = ? AND one.id < run.id ORDER BY 1 DESC
"""
ASK = """
INSERT INTO asked SELECT workflow, execution, max(row), disposition FROM line WHERE run = ?
    AND outcome IN ('updated', 'fetched') GROUP BY 1, 2
"""
"""With max(), SQLite takes a group's other columns from the row that has the maximum.

Source: sqlite.org/lang_select.html, "Bare columns in an aggregate query".
"""
ANSWER = """
INSERT OR IGNORE INTO before SELECT asked.row, run, disposition, new, name
FROM line JOIN run ON run.id = run CROSS JOIN asked USING (workflow, execution) WHERE run = ?
    AND outcome IN ('updated', 'fetched') ORDER BY line.row DESC
"""
ANSWERS = """
SELECT disposition, name, workflow, execution FROM line JOIN run ON run.id = run
WHERE run = ? AND outcome IN ('updated', 'fetched') ORDER BY row DESC
"""
ANSWER_ELSEWHERE = """
INSERT OR IGNORE INTO before SELECT row, NULL, ?, new, ? FROM asked WHERE workflow = ? AND execution = ?
"""
ANSWERED = "DELETE FROM asked WHERE row IN (SELECT row FROM before WHERE run = ?)"
MOVES = "SELECT old, new, count(*) AS n FROM before GROUP BY 1, 2 ORDER BY n DESC, 1, 2"
MOVED = """
SELECT row, line, workflow, execution, old, new, name FROM before JOIN line USING (row)
WHERE line.run = ? AND old <> new ORDER BY row
"""
REPEATED = """
SELECT execution, min(row) AS first, count(*) AS n FROM line WHERE run = ? AND due
GROUP BY workflow, execution HAVING n > 1 ORDER BY first
"""
PROBLEM = f"SELECT {', '.join(Problem._fields)} FROM line WHERE run = ?"  # noqa: S608  a constant
INVALID = f"{PROBLEM} AND outcome = 'invalid' ORDER BY row"
ERRORS = f"{PROBLEM} AND error <> '' ORDER BY row"
