// An address that leads nowhere.

import { byId, h } from "./dom.js";
import { footer, themeButton } from "./chrome.js";

byId("tools").append(themeButton());
byId("content").append(
  h("div", { class: "nothing" }, h("h1", {}, "There is no such page"), h("p", {}, `Nothing is at ${location.pathname}.`), h("a", { class: "button", href: "/" }, "All machines")),
);
document.title = "Unknown page · ai-dashboard";
footer();
