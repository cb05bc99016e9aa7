"""The output to a broker, for Telegraf's mqtt_consumer.

`writer.MqttWriter` takes lines from the sink and publishes them. Pure: `answers` says what the
broker's answer means.
"""
