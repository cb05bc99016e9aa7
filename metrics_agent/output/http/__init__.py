"""The output to a database over HTTP: InfluxDB 1, 2 and 3, VictoriaMetrics.

`writer.HttpWriter` takes lines from the sink and sends them. Pure: `answers` says what an answer
means.
"""
