"""The errors of a client, with the code from the server."""

from enum import IntEnum

from fsharechat.protocol.signals import Code, LoginCode, SubSignal


def _named(kind: type[IntEnum], value: int) -> int:
    """Return the member of `kind`, or the plain number when there is none (a newer server's)."""
    try:
        return kind(value)
    except ValueError:
        return value


class ClientError(Exception):
    """The base of every error of this package."""


_LOGIN_MEANING = {
    1: "this is not a valid number",
    3: "a code was asked for too often, wait a while",
    4: "the server has an error",
    5: "the code has expired, ask for a new one",
    6: "the code is wrong",
    7: "the server cannot send codes, it is misconfigured",
    8: "the session is missing or has expired, or the user is blocked",
    9: "the session is not verified",
    10: "the code was not scanned",
}


class LoginError(ClientError):
    """A login was refused. `code` is the result code (contract.md section 3), `why` a sentence that says more."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(why or _LOGIN_MEANING.get(code, f"the server answered with the unknown code {code}"))
        self.code = _named(LoginCode, code)


class Disconnected(ClientError):
    """There is no connection, or it broke before the answer: the request may or may not have been carried out."""


class Closed(Disconnected):
    """The client was closed."""


_REFUSAL_MEANING: dict[int, str] = {
    SubSignal.CONNECTION_REFUSED_UNACCEPTABLE_PROTOCOL_VERSION: "the server speaks another protocol version",
    SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED: "the client id is empty or the user is blocked",
    SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE: "the server is not available now",
    SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD: "the credentials are not valid, log in again",
    SubSignal.CONNECTION_REFUSED_NOT_AUTHORIZED: "the user is not allowed to connect",
    SubSignal.CONNECTION_REFUSED_UNEXPECT_NODE: "this is not the node to connect to",
    SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST: "the session is gone, log in again",
}


class ConnectRefused(ClientError):
    """The server refused the CONNECT. `sub_signal` says why (contract.md section 4)."""

    def __init__(self, sub_signal: int) -> None:
        super().__init__(
            _REFUSAL_MEANING.get(sub_signal, f"the server refused the connection with {sub_signal}")
        )
        self.sub_signal = _named(SubSignal, sub_signal)

    @property
    def final(self) -> bool:
        """Whether trying again with the same credentials is pointless."""
        return self.sub_signal != SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE


_CODE_MEANING: dict[int, str] = {
    Code.INVALID_DATA: "the request is not valid",
    Code.SERVER_ERROR: "the server has an error",
    Code.NOT_MODIFIED: "nothing was changed",
    Code.TOKEN_ERROR: "the token is not valid",
    Code.USER_FORBIDDEN: "the user is forbidden",
    Code.NOT_IN_GROUP: "not a member of the group",
    Code.INVALID_MESSAGE: "the message is not valid",
    Code.GROUP_EXISTS: "the group exists already",
    Code.ALREADY_REQUESTED: "already requested, wait for the answer",
    Code.REQUEST_BLOCKED: "the request was rejected not long ago",
    Code.REQUEST_OVERTIME: "the request is too old",
    Code.NOT_IN_CHATROOM: "not in the chat room",
    Code.NOT_IN_CHANNEL: "not in the channel",
    Code.SENSITIVE_WORD: "the text holds a word that is not allowed",
    Code.BLACKLISTED: "blacklisted by the other side",
    Code.MUTED: "muted",
    Code.NO_RIGHT: "not allowed",
    Code.TIMEOUT: "the server was too slow",
    Code.TOO_OFTEN: "too many requests, slow down",
    Code.INVALID_PARAMETER: "a parameter is not valid",
    Code.NOT_EXIST: "it does not exist",
    Code.NOT_IMPLEMENTED: "the server does not know this request",
}


class RequestError(ClientError):
    """The server refused a request.

    `code` is the first byte of the PUB_ACK (contract.md section 5). Common codes have their own classes below. Over
    WebSocket it is None: a refusal there has no code.
    """

    def __init__(self, sub_signal: SubSignal, code: int | None) -> None:
        self.sub_signal = sub_signal
        self.code = None if code is None else _named(Code, code)
        if code is None:
            meaning = "the server refused it"
        else:
            meaning = _CODE_MEANING.get(code, f"the server answered with the unknown code {code}")
        super().__init__(f"{sub_signal.name}: {meaning}")
        self.meaning = meaning


class ServerError(RequestError):
    """Code 4: the server has an error. The request may or may not have been carried out."""


class NotInGroup(RequestError):
    """Code 9: the user is not a member of the group."""


class GroupExists(RequestError):
    """Code 11: there is a group of this id already."""


class AlreadyRequested(RequestError):
    """Code 16: an earlier friend request is still open."""


class RequestBlocked(RequestError):
    """Code 18: an earlier friend request was rejected not long ago."""


class RequestOvertime(RequestError):
    """Code 19: the friend request is too old to be answered."""


class SensitiveWord(RequestError):
    """Code 242: the text holds a word that the server does not pass on."""


class Blacklisted(RequestError):
    """Code 246: the receiver has put the user on the blacklist."""


class Muted(RequestError):
    """Code 247: the user may not send messages."""


class NoRight(RequestError):
    """Code 248: the user may not do this in the group, or with a message of somebody else."""


class TooOften(RequestError):
    """Code 250: the limit of requests is reached. Nothing was done.

    `Client.send` stays below the limit. It raises this if the turn of a message would come too late.
    """


class NotExist(RequestError):
    """Code 253: the user, group, message or request does not exist."""


class Unsupported(RequestError):
    """Code 254: the server does not serve this request."""


_CODE_ERROR: dict[int, type[RequestError]] = {
    Code.SERVER_ERROR: ServerError,
    Code.NOT_IN_GROUP: NotInGroup,
    Code.GROUP_EXISTS: GroupExists,
    Code.ALREADY_REQUESTED: AlreadyRequested,
    Code.REQUEST_BLOCKED: RequestBlocked,
    Code.REQUEST_OVERTIME: RequestOvertime,
    Code.SENSITIVE_WORD: SensitiveWord,
    Code.BLACKLISTED: Blacklisted,
    Code.MUTED: Muted,
    Code.NO_RIGHT: NoRight,
    Code.TOO_OFTEN: TooOften,
    Code.NOT_EXIST: NotExist,
    Code.NOT_IMPLEMENTED: Unsupported,
}


def refusal(sub_signal: SubSignal, code: int | None) -> RequestError:
    """Return the error for a code of section 5, of its own class if there is one. None: a refusal without a code."""
    kind = RequestError if code is None else _CODE_ERROR.get(code, RequestError)
    return kind(sub_signal, code)


class RequestTimeout(ClientError, TimeoutError):
    """No answer in time: the request may or may not have been carried out."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: no answer in {seconds:g} s")


class SendUnconfirmed(ClientError):
    """`send` gave up: the message may or may not be stored.

    Sending it again with the same `local_message_id` is safe at any time: the server stores it once.
    """

    def __init__(self, local_message_id: int, seconds: float) -> None:
        super().__init__(f"message {local_message_id} was not acknowledged in {seconds:g} s")
        self.local_message_id = local_message_id


class InvalidReply(ClientError):
    """The server's answer does not follow the contract."""


class TooLarge(ClientError):
    """The data to send or fetch is larger than the server or the caller accepts. Nothing was sent."""


class MediaError(ClientError):
    """A file could not be uploaded or downloaded. `status` is the HTTP status, if there was an answer."""

    def __init__(self, meaning: str, status: int | None = None) -> None:
        super().__init__(meaning)
        self.status = status
