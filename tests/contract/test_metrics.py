"""What operators are told of the metrics is all of them."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from app import metrics

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
ENDINGS = {"counter": "_total", "info": "_info"}


def test_the_table_of_metrics_has_every_one_and_its_labels() -> None:
    first_cells = re.findall(r"(?m)^\| (`spark_.*?) \|", OPERATIONS.read_text())
    told = dict(re.findall(r"`(spark_\w+)(?:{([\w,]+)})?`", " ".join(first_cells)))
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [each] = metric.describe()
            labels = told[each.name + ENDINGS.get(each.type, "")].split(",")
            assert set(metric._labelnames) <= set(labels), each.name
