"""What a log line says of an error: the only place that takes out what the database repeats of a row, and with it what was
typed about a patient."""

import re

from pythonjsonlogger.json import JsonFormatter

# from PostgreSQL's "DETAIL:  Failing row contains (...)" to the next error of a chain: a row may hold new lines
DETAIL = re.compile(r"DETAIL: .*?(?=\n\n(?:The above exception was|During handling of) |\Z)", re.DOTALL)


class Formatter(JsonFormatter):
    """One JSON object per line, without the rows in the errors of the database."""

    def process_log_record(self, log_data):
        for name in ("message", "exc_info"):
            if isinstance(log_data.get(name), str):
                log_data[name] = DETAIL.sub("DETAIL left out", log_data[name])
        return log_data
