"""What reason codes mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.mqtt.answers import cause_of, may_be_content, may_be_lines


class AnswerTests(SynchronousTestCase):
    """Each code of PUBACK that MQTT 5 knows, and one that it does not."""

    def test_causes(self) -> None:
        """The text says what to look at, and only where the user can help is it tried slowly."""
        for code, words, user, lines in (
            (
                0x10,
                "Telegraf is not subscribed to 'a/b', check its inputs.mqtt_consumer",
                False,
                False,
            ),
            (0x80, "does not say why", False, True),
            (0x83, "a reason of its own", False, True),
            (0x87, "may not publish to 'a/b', check the broker's access list", True, False),
            (0x90, "does not accept the topic 'a/b', check output", True, False),
            (0x91, "the broker refuses the message", False, False),
            (0x95, "the message is too large", False, True),
            (0x97, "a quota is exceeded", False, True),
            (0x99, "line protocol is not the format of 'a/b'", False, True),
            (0xFE, "the broker refuses the message", False, False),
        ):
            cause = cause_of(code, "a/b")
            self.assertIn(words, cause.text)
            self.assertIn(f"(MQTT reason code 0x{code:02x})", cause.text)
            self.assertEqual((cause.needs_user_action, may_be_lines(code)), (user, lines))
            self.assertEqual(may_be_content(code), code in {0x80, 0x83, 0x99})
            self.assertEqual(cause.kind, f"puback_{code}")
