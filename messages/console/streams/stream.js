// A stream as the list of streams tells of it.

import { position } from "../format.js";

/** Where its page is. */
export const hrefOf = (name) => `#/stream/${encodeURIComponent(name)}`;

/** What of it is not in the database yet, in bytes. */
export const unflushed = ({ bytes, stored }) => Math.max(0, bytes - position(stored).bytes);

/** Its type without what hardly anybody wants to know. */
export const shortType = (type) => type.split(";")[0];
