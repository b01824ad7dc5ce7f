/** The JSON of the WebSocket wire (contract.md sections 2, 5 and 7), and the rows that this page keeps of it. */

export const Kind = { PRIVATE: 0, GROUP: 1, CHATROOM: 2, CHANNEL: 3 } as const;

export const Type = {
  TEXT: 1,
  VOICE: 2,
  IMAGE: 3,
  LOCATION: 4,
  FILE: 5,
  VIDEO: 6,
  STICKER: 7,
  CARD: 10,
  RECALLED: 80,
  TIP: 90,
  TYPING: 91,
  GROUP_CREATED: 104,
  MEMBERS_ADDED: 105,
  MEMBERS_KICKED: 106,
  MEMBER_QUIT: 107,
  GROUP_DISMISSED: 108,
  GROUP_RENAMED: 110,
  GROUP_PORTRAIT: 112,
  CALL_START: 400,
  CALL_ANSWER: 401,
  CALL_BYE: 402,
  CALL_SIGNAL: 403,
  CALL_MODIFY: 404,
  CALL_ANSWER_AUDIO: 405,
} as const;

export const Media = { GENERAL: 0, IMAGE: 1, VOICE: 2, VIDEO: 3, FILE: 4, PORTRAIT: 5 } as const;
export const Mention = { NONE: 0, SOME: 1, ALL: 2 } as const;
export const Member = { NORMAL: 0, MANAGER: 1, OWNER: 2, SILENCED: 3, REMOVED: 4 } as const;
export const Scope = { MUTED: 1, ALL_MUTED: 2, TOP: 3 } as const;
export const Report = { DELIVERED: 1, READ: 2 } as const;

export interface Content {
  type: number;
  searchableContent: string;
  pushContent: string;
  content: string;
  binaryContent: string;
  localContent: string;
  mediaType: number;
  remoteMediaUrl: string;
  localMediaPath: string;
  mentionedType: number;
  mentionedTargets: string[];
}

export interface WireMessage {
  conversationType: number;
  target: string;
  line: number;
  from: string;
  tos: string[] | string;
  messageId: string;
  localMessageId: string;
  direction: number;
  status: number;
  timestamp: number | string;
  content: Content;
  /** When it was edited, ms; absent if it never was. */
  editedDt?: number | string;
}

/** What one user reacts with to a message now (REN, REL). */
export interface Reaction {
  messageUid: string;
  uid: string;
  emoji: string[];
  updateDt: number | string;
}

export interface Pull {
  current: string;
  head: string;
  messageCount: number;
  messageResponseList: WireMessage[];
}

export interface User {
  uid: string;
  name: string;
  displayName: string;
  gender: number;
  portrait: string;
  mobile: string;
  email: string;
  address: string;
  company: string;
  social: string;
  extra: string;
  updateDt: number | string;
  type: number;
}

export interface Friend {
  friendUid: string;
  alias: string;
  state: number;
  timestamp: number | string;
}

export interface FriendRequest {
  direction: number;
  from: string;
  target: string;
  reason: string;
  status: number;
  timestamp: number | string;
}

export interface Group {
  target: string;
  name: string;
  portrait: string;
  owner: string;
  type: number;
  memberCount: number;
  extra: string;
  updateDt: number | string;
}

export interface GroupMember {
  groupId: string;
  memberId: string;
  alias: string;
  type: number;
  updateDt: number | string;
  /** When a silence ends, ms; 0: it has no end, or there is none. */
  silencedUntil: number | string;
}

/** A member who has read up to `date`, ms (GRL). */
export interface Reader {
  uid: string;
  date: number | string;
}

export interface Setting {
  scope: number;
  key: string;
  value: string;
  updateDt: number | string;
}

export interface MessageReport {
  reportType: number;
  uid: string;
  date: number | string;
  target: string;
}

/** A device that is logged in (UDL); `online` and `current` are 0 or 1. */
export interface Device {
  clientId: string;
  kind: string;
  name: string;
  loginDt: number | string;
  seenDt: number | string;
  online: number;
  current: number;
}

/** An entry of WebRTC's `iceServers` (TURN); no urls: the server has none. */
export interface Relays {
  urls: string[];
  username: string;
  credential: string;
}

export interface Place {
  domain: string;
  url: string;
  /** Of a file that goes up in parts: where to go on, and with how many bytes. */
  offset?: number;
  length?: number;
}

export interface Address {
  kind: number;
  target: string;
  line: number;
}

/** The key of a conversation: also that of its settings (section 8, "Settings"). */
export const keyOf = ({ kind, target, line }: Address): string => `${kind}-${line}-${target}`;

export function addressOf(key: string): Address {
  const [kind, line, ...rest] = key.split("-");
  return { kind: Number(kind), line: Number(line), target: rest.join("-") };
}

const DIGITS = 20;
/** Ids have up to 19 digits, more than a number keeps: as text of one length they sort as numbers do. */
export const padded = (id: string): string => id.padStart(DIGITS, "0");
export const plain = (id: string): string => id.replace(/^0+(?=.)/, "");

/** The conversation of a message, as the user `me` sees it. */
export function conversationOf(message: WireMessage, me: string): Address {
  const target = message.conversationType === Kind.PRIVATE && message.from !== me ? message.from : message.target;
  return { kind: message.conversationType, target, line: message.line };
}

export function content(type: number, fields: Partial<Content> = {}): Content {
  return {
    type,
    searchableContent: "",
    pushContent: "",
    content: "",
    binaryContent: "",
    localContent: "",
    mediaType: 0,
    remoteMediaUrl: "",
    localMediaPath: "",
    mentionedType: 0,
    mentionedTargets: [],
    ...fields,
  };
}

/** Types that others see as something new to read. */
export const isCounted = (type: number): boolean => type < Type.RECALLED || type === Type.CALL_START;
