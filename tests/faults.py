"""Fault tests: what is acknowledged is kept, whatever is killed. By hand, not collected by pytest; see
docs/operations.md, "Fault tests".

    .venv/bin/python -m tests.faults --kills 12 --saves 600 --reports 20

Starts an own `serve --demo` in a folder of its own. People save panels over HTTP while web processes, the worker, the
broker and PostgreSQL are killed; whose answer was lost sends the same form again. Then reports are requested while
workers are killed and the broker forgets everything. In the end the trail is read, and the exit code is 1 unless

- every acknowledged save is in the trail, once, under the version that was answered,
- no save that was refused left a trace,
- the trail of each panel is whole: as many events as its version, each beginning where the last one ended,
- no answer was a 500, and nobody had to wait for longer than PATIENCE,
- each report that was requested was made, once.
"""

import argparse
import collections
import html.parser
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from trialsite import embedded, processes

TARGETS = ("web process", "postgres", "worker", "valkey", "job process", "web")
PEOPLE = ("coordinator-01", "coordinator-02", "investigator-01", "investigator-02", "coordinator-01", "coordinator-02")
ASKING = ("statistician", "safety-officer")  # for reports: one person may ask for 20 a day, and the demo has two
PATIENCE = 90  # seconds until who asks again and again must have an answer
BETWEEN_KILLS = (2.0, 5.0)  # seconds; PostgreSQL needs one or two to recover
REPORTS_WITHIN = 900  # seconds; what the broker lost is sent again after one minute


# --- the installation --------------------------------------------------------------------------------


class Installation:
    """A `serve --demo` of our own: its folder, its port, its processes."""

    def __init__(self, var):
        self.var = var
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        ours = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "CELERY_BROKER_URL", "TRIALSITE_PROFILE", "TRIAL_PROTOCOL")
        self.environment = {key: value for key, value in os.environ.items() if key not in ours}
        self.environment |= {"TRIALSITE_VAR": str(var), "TRIALSITE_PORT": str(self.port)}
        self.output = var / "faults-serve.log"

    def start(self):
        with self.output.open("wb") as output:
            self.serve = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--demo"],
                cwd=embedded.BASE, env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip
        while "is ready at" not in self.output.read_text():
            if self.serve.poll() is not None:
                raise SystemExit(f"serve ended:\n{self.output.read_text()}")
            time.sleep(0.2)
        self.passwords = {a["user"]: a["password"] for a in json.loads((self.var / "accounts.json").read_text())}

    def stop(self):
        self.serve.send_signal(signal.SIGINT)
        self.serve.wait(60)

    def pid(self, target):
        """The process to kill; None while it is being started again."""
        parent = {"web process": "web", "job process": "worker"}.get(target)
        with suppress(OSError, ValueError, IndexError):
            number = int(processes.pid_file(self.var, parent or target).read_text())
            if parent:
                children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
                number = int(random.choice(children))
            return number if processes.alive(number) else None
        return None

    def kill(self, target):
        if number := self.pid(target):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
                return True
        return False

    def forget_the_queue(self):
        """The broker loses all that it holds."""
        with socket.socket(socket.AF_UNIX) as broker:
            broker.connect(urllib.parse.unquote(embedded.broker_url(self.var).partition("://")[2]))
            broker.sendall(b"FLUSHALL\r\n")
            return broker.recv(5) == b"+OK\r\n"

    def database(self):
        return psycopg.connect(embedded.superuser_url(self.var), row_factory=psycopg.rows.namedtuple_row)


# --- people at their browsers ------------------------------------------------------------------------


class Fields(html.parser.HTMLParser):
    """What a browser would send of the page's forms, unchanged: name -> value."""

    def __init__(self, page):
        super().__init__()
        self.sent, self.inside = {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "input" and given.get("type") not in ("checkbox", "radio", "submit") and "name" in given:
            self.sent[given["name"]] = given.get("value") or ""
        elif tag in ("select", "textarea") and "name" in given:
            self.inside = given["name"]
            self.sent[self.inside] = ""
        elif tag == "option" and self.inside and "selected" in given:
            self.sent[self.inside] = given.get("value", "")

    def handle_endtag(self, tag):
        if tag in ("select", "textarea"):
            self.inside = None

    def handle_data(self, data):
        if self.inside and self.lasttag == "textarea":
            self.sent[self.inside] += data


class Browser:
    """One signed-in person. Counts what was answered, and how long the longest wait for an answer was."""

    def __init__(self, installation, username):
        self.installation, self.cookies = installation, {}
        self.answers, self.longest = collections.Counter(), 0.0
        form = Fields(self.open("/sign-in/")).sent
        form |= {"username": username, "password": installation.passwords[username]}
        if self.insist("POST", "/sign-in/", form)[0] != 302:
            raise SystemExit(f"{username} cannot sign in")

    def ask(self, method, path, form=None):
        """(status, headers, text); raises OSError or HTTPException when no answer came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.installation.port, timeout=20)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = urllib.parse.urlencode(form) if form else None
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return answer.status, answer.headers, text

    def insist(self, method, path, form=None):
        """Ask, and ask the same again when the answer was lost or the server says that it is not ready."""
        began, pause = time.monotonic(), 0.1
        while time.monotonic() - began < PATIENCE:
            try:
                answer = self.ask(method, path, form)
                self.answers[method, answer[0]] += 1
                if answer[0] < 500:
                    self.longest = max(self.longest, time.monotonic() - began)
                    return answer
            except (OSError, http.client.HTTPException):
                self.answers[method, "lost"] += 1
            time.sleep(pause)
            pause = min(1.0, 1.5 * pause)
        self.longest = PATIENCE
        return 0, {}, ""

    def open(self, path):
        return self.insist("GET", path)[2]


class Saver(threading.Thread):
    """Saves panels, each time with a mark of its own in the comment, until told to stop."""

    def __init__(self, browser, panels, name, enough):
        super().__init__(name=name, daemon=True)
        self.browser, self.panels, self.enough = browser, panels, enough
        self.kept, self.refused, self.odd = {}, [], []  # mark -> (panel, version); marks; what nobody expects

    def run(self):
        for count in itertools.count(1):
            if self.enough():
                return
            panel, mark = random.choice(self.panels), f"fault test {self.name}-{count}"
            path = f"/visits/panels/{panel}/"
            form = Fields(self.browser.open(path)).sent
            if "idem" not in form:
                self.odd.append(f"{path} was not shown")
                continue
            form |= {"comment": mark, "reason": "fault test"}
            status, headers, _ = self.browser.insist("POST", path, form)
            if status == 302 and headers["Location"].startswith("/visits/"):
                self.kept[mark] = panel, int(headers["X-Record-Version"])
            elif status == 409:
                self.refused.append(mark)
            else:
                self.odd.append(f"{path} answers {status}")


# --- the two tests -----------------------------------------------------------------------------------


def save_under_fire(installation, kills, saves):
    """Kill what the saves need, again and again, until there were enough of both. Gives the savers and the kills."""
    panels = panels_by_site(installation)
    done = threading.Event()
    savers = []

    def enough():
        return done.is_set() and sum(len(saver.kept) for saver in savers) >= saves

    for number, username in enumerate(PEOPLE, 1):
        browser = Browser(installation, username)
        savers.append(Saver(browser, panels[username.rpartition("-")[2]], str(number), enough))
    began = time.monotonic()
    for saver in savers:
        saver.start()
    killed = kill_in_turn(installation, TARGETS, kills)
    done.set()
    for saver in savers:
        saver.join(timeout=PATIENCE + 600)
    return savers, killed, time.monotonic() - began


def panels_by_site(installation, each=8):
    """A few entered panels of each site: few, so that people meet at them."""
    with installation.database() as database:
        rows = database.execute(
            "select site.code, array_agg(panel.id order by panel.id) as panels from visits_panelrecord panel"
            " join patients_patient patient on patient.id = panel.patient_id"
            " join trialsite_site site on site.id = patient.site_id"
            " where panel.state = 'entered' and patient.state = 'randomised' group by site.code"
        ).fetchall()
    return {row.code: row.panels[:each] for row in rows}


def kill_in_turn(installation, targets, count):
    """Kill each of the targets in turn; a target that is just being started is waited for."""
    killed = collections.Counter()
    for target in itertools.islice(itertools.cycle(targets), count):
        time.sleep(random.uniform(*BETWEEN_KILLS))
        for _ in range(300):
            if installation.kill(target):
                killed[target] += 1
                break
            time.sleep(0.1)
    return killed


def kill_whoever_makes_reports(installation, count, given_up):
    """Kill the job process, or the whole worker, in the middle of a report, as often as `count`."""
    killed = 0
    targets = itertools.cycle(("job process", "worker"))
    with installation.database() as database:
        database.autocommit = True
        while killed < count and not given_up.is_set():
            if database.execute("select 1 from safety_dsmbreport where state = 'running'").fetchone():
                time.sleep(random.uniform(0, 1))
                killed += installation.kill(next(targets))
                time.sleep(1)
            time.sleep(0.05)
    return killed


def report_under_fire(installation, count, kills):
    """Request reports, kill workers meanwhile, and let the broker forget everything once. Gives what was asked for."""
    who_ask = [Browser(installation, name) for name in ASKING]
    asked, given_up = [], threading.Event()
    began = time.monotonic()
    killer = ThreadPoolExecutor(1)
    killed = killer.submit(kill_whoever_makes_reports, installation, kills, given_up)
    for number, browser in zip(range(count), itertools.cycle(who_ask), strict=False):
        while time.monotonic() - began < REPORTS_WITHIN:
            form = Fields(browser.open("/safety/reports/new/")).sent
            form["cutoff"] = f"{datetime.now(UTC) - timedelta(days=number):%Y-%m-%d}"
            status, headers, _ = browser.insist("POST", "/safety/reports/new/", form)
            if status != 422:  # as many as one person may have are being made
                break
            time.sleep(0.5)
        if status == 302:
            asked.append(int(headers["Location"].strip("/").split("/")[-1]))
        if number == count // 2:
            while not installation.forget_the_queue():
                time.sleep(0.1)
    with installation.database() as database:
        database.autocommit = True
        while time.monotonic() - began < REPORTS_WITHIN:
            open_ones = "select count(*) as n from trialsite_outboxmessage where done_at is null"
            if database.execute(open_ones).fetchone().n == 0:
                break
            time.sleep(1)
    given_up.set()
    return who_ask, asked, killed.result(), time.monotonic() - began


# --- the judgement -----------------------------------------------------------------------------------


def judge_saves(installation, savers):
    """Sentences about what is wrong."""
    wrong = [fault for saver in savers for fault in saver.odd]
    with installation.database() as database:
        events = database.execute(
            "select record_id, operation, before, after, reason from trialsite_auditevent"
            " where \"table\" = 'visits_panelrecord' order by id"
        ).fetchall()
        live = dict(database.execute("select id, to_jsonb(panel) from visits_panelrecord panel").fetchall())
        receipts = database.execute(
            "select count(*) as n from trialsite_formreceipt where path like '/visits/panels/%'"
        ).fetchone()
    marks = collections.Counter(event.after["comment"] for event in events if event.reason == "fault test")
    where = {event.after["comment"]: (event.record_id, event.after["version"]) for event in events}
    kept = {mark: place for saver in savers for mark, place in saver.kept.items()}
    wrong += [f"lost: {mark}" for mark in kept if not marks[mark]]
    wrong += [f"saved more than once: {mark}" for mark, times in marks.items() if times > 1]
    wrong += [f"not where it was said to be: {mark}" for mark, place in kept.items() if where.get(mark) != place]
    wrong += [f"refused, and saved: {mark}" for saver in savers for mark in saver.refused if marks[mark]]
    wrong += [f"saved, and never said so: {mark}" for mark in marks if mark not in kept]
    if receipts.n != len(kept):
        wrong.append(f"{receipts.n} receipts of {len(kept)} saves")
    trail = collections.defaultdict(list)
    for event in events:
        trail[event.record_id].append(event)
    for number, panel in live.items():
        steps = trail[number]
        if len(steps) != panel["version"]:
            wrong.append(f"panel {number} has version {panel['version']} and {len(steps)} events")
        if any(later.before != earlier.after for earlier, later in itertools.pairwise(steps)):
            wrong.append(f"the trail of panel {number} has a gap")
        if not steps or steps[0].operation != "insert" or steps[-1].after != panel:
            wrong.append(f"the trail of panel {number} does not lead from its beginning to what stands now")
    return wrong


def judge_reports(installation, asked, count):
    with installation.database() as database:
        rows = database.execute(
            "select report.id, state, (select count(*) from safety_dsmbfile where report_id = report.id) as files,"
            " (select count(*) from trialsite_auditevent where \"table\" = 'safety_dsmbreport'"
            " and record_id = report.id and reason = 'was made') as times_made,"
            " (select count(*) from trialsite_auditevent where \"table\" = 'safety_dsmbreport'"
            " and record_id = report.id and reason = 'the making is begun') as times_begun"
            " from safety_dsmbreport report where id >= %s and month is null order by id", [min(asked, default=0)],
        ).fetchall()  # fmt: skip
        waiting = (
            database.execute("select count(*) as n from trialsite_outboxmessage where done_at is null").fetchone().n
        )
    wrong = [f"report {row.id} is {row.state}, made {row.times_made} times"
             for row in rows if (row.state, row.times_made) != ("done", 1)]  # fmt: skip
    if len({row.files for row in rows}) > 1:
        wrong.append("not all reports have the same number of files")
    if {row.id for row in rows} != set(asked) or len(set(asked)) != count:
        wrong.append(f"{count} reports were requested, {len(set(asked))} acknowledged, {len(rows)} are there")
    if waiting:
        wrong.append(f"{waiting} messages of the outbox are still open")
    return wrong, sum(row.times_begun for row in rows)


def judge_answers(browsers):
    """No answer may be a 500 (502, 504): what is not there is 503, and asked again."""
    answers = sum((browser.answers for browser in browsers), collections.Counter())
    return [f"{method} was answered {status} {times} times" for (method, status), times in answers.items()
            if status != "lost" and status >= 500 and status != 503]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=12, help="how many processes are killed during the saves (12)")
    parser.add_argument("--saves", type=int, default=600, help="how many saves there must be at least (600)")
    parser.add_argument("--reports", type=int, default=20, help="how many reports are requested (20)")
    parser.add_argument("--report-kills", type=int, default=8, help="how many workers are killed meanwhile (8)")
    parser.add_argument("--keep", action="store_true", help="keep the folder for a look at its logs")
    chosen = parser.parse_args()
    var = Path(tempfile.mkdtemp(prefix="trialsite-faults-")).resolve()
    installation = Installation(var)
    try:
        print(f"starting, in {var}", flush=True)
        installation.start()
        savers, killed, seconds = save_under_fire(installation, chosen.kills, chosen.saves)
        browsers = [saver.browser for saver in savers]
        wrong = judge_saves(installation, savers)
        answers = sum((browser.answers for browser in browsers), collections.Counter())
        print(f"{sum(len(s.kept) for s in savers)} saves acknowledged, {sum(len(s.refused) for s in savers)} refused"
              f" as stale, in {seconds:.0f} s; the longest wait was {max(b.longest for b in browsers):.1f} s")  # fmt: skip
        print("killed:", ", ".join(f"{target} {times}" for target, times in killed.items()))
        print(
            "answers:",
            ", ".join(f"{method} {status}: {times}" for (method, status), times in sorted(answers.items(), key=str)),
        )
        if chosen.reports:
            who_ask, asked, killed, seconds = report_under_fire(installation, chosen.reports, chosen.report_kills)
            faults, begun = judge_reports(installation, asked, chosen.reports)
            wrong += faults
            browsers += who_ask
            print(f"{len(set(asked))} reports requested and finished in {seconds:.0f} s; begun {begun} times,"
                  f" workers killed {killed} times")  # fmt: skip
        wrong += judge_answers(browsers)
    finally:
        installation.stop()
        if not chosen.keep:
            shutil.rmtree(var, ignore_errors=True)
    print("\n".join(wrong[:40]) or "nothing lost, nothing twice, the trail is whole")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
