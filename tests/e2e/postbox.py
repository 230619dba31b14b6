"""A mail server that keeps what it was sent."""
import email
import email.policy

from aiosmtpd.controller import Controller
from stack import free_port


class Postbox:
    """`answers`: what the next mails are answered instead of being taken, e.g. "451 later"."""

    def __init__(self):
        self.got, self.answers = [], []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.url = f"smtp://127.0.0.1:{self.controller.port}"

    async def handle_DATA(self, server, session, envelope):
        if self.answers:
            return self.answers.pop(0)
        message = email.message_from_bytes(envelope.original_content or envelope.content, policy=email.policy.default)
        self.got.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 taken"

    def stop(self):
        self.controller.stop()

    def subjects(self):
        return [str(message["Subject"]) for _, _, message in self.got]
