// The log-in form works without this; what it adds is the theme, a sentence about what went wrong, and the way back.

import { byId } from "./dom.js";
import { notice, themeButton } from "./chrome.js";

/** By the status that the form's answer had. */
const FAILURES = {
  401: { message: "That is not the password.", advice: "Ask whoever runs this dashboard." },
  429: { message: "Too many attempts.", advice: "Wait a minute, then try again." },
};

byId("tools").append(themeButton());
const asked = new URLSearchParams(location.search);
const failure = FAILURES[performance.getEntriesByType("navigation")[0]?.responseStatus];
if (failure) notice("login", failure);
if (asked.has("next")) {
  document.forms[0].action = `/login?next=${encodeURIComponent(asked.get("next"))}`;
}
