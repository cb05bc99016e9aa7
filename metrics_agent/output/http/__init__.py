"""The output to a database over HTTP: InfluxDB 1, 2 and 3, VictoriaMetrics.

`writer.HttpWriter` takes lines from the sink and sends them. Pure: `pace` says when lines leave,
`answers` what an answer means, `search` finds the lines for which a whole request was rejected.
"""
