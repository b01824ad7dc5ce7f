"""The chat of the terminal client: its commands, its display, and unread messages."""

from fsharechat.client.chat.chat import Chat
from fsharechat.client.chat.words import Quit, plain

__all__ = ["Chat", "Quit", "plain"]
