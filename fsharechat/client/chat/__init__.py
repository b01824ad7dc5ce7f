"""The conversation of the terminal client: its commands, what it shows, and what is unread."""

from fsharechat.client.chat.chat import Chat
from fsharechat.client.chat.words import Quit, plain

__all__ = ["Chat", "Quit", "plain"]
