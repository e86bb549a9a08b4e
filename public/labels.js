// What Chainlit's page leaves out for those who do not see it or use no mouse: names of pictures,
// menus that no key reaches, and a stop for the keyboard behind open ones.
// One look a quarter of a second after elements came.

import { el, isModal } from "./dialog.js"

const PAUSE_MS = 250

const NAMES = {
  "#new-chat-button": "New chat",
  "#chat-profiles": "Model",
  "#upload-button, #upload-button-loading": "Add documents",
  "#chat-settings-open-modal": "Settings of this chat",
  "#chat-submit": "Send",
  "#stop-button": "Stop",
  "#chat-input": "Your question",
  "#edit-chat-input": "Your question, to be changed",
  "#user-nav-button": "Account",
  "#search-chats-button": "Search chats",
  "#sidebar-trigger-button": "Show or hide the chats",
  "#side-view-title button": "Close the panel",
  "[data-resize-handle]": "Width of the panel",
  "#attachments button": "Remove this file"
}
const PICTURES = {
  "volume-2": "Read aloud", volume2: "Read aloud", share: "Share or export", copy: "Copy", check: "Copied", "thumbs-up": "A good answer", "thumbs-down": "A bad answer",
  "refresh-cw": "Answer again", "rotate-cw": "Answer again", pencil: "Edit", x: "Close", ellipsis: "More", bug: "Details", "arrow-left": "Back"
}
const SCROLLED = ".flex-grow.overflow-y-auto > .flex-col.overflow-y-auto"

const set = (element, name, value) => { if (element.getAttribute(name) !== value) element.setAttribute(name, value) }
const nameless = (element) => !element.textContent.trim() && !element.hasAttribute("aria-labelledby")

function nameButtons() {
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const element of document.querySelectorAll(selector)) set(element, "aria-label", name)
  }
  for (const button of document.querySelectorAll("#message-composer > :last-child button:not([id])")) {
    if (nameless(button)) set(button, "aria-label", button.querySelector(".lucide-x") ? "End the call" : "Start a call")
  }
  for (const button of document.querySelectorAll("button:not([aria-label], [id^=xoe-])")) {
    const picture = nameless(button) && button.querySelector("svg")?.getAttribute("class")?.match(/lucide-([a-z0-9-]+)/)?.[1]
    if (picture) button.setAttribute("aria-label", PICTURES[picture] ?? picture.replaceAll("-", " "))
  }
  for (const button of document.querySelectorAll(".edit-message:not([aria-label])")) button.setAttribute("aria-label", "Edit")
}

let opener

// A chat in the list is a link with a button in it, with a menu in that which no key reaches.
function nameChats() {
  for (const other of document.querySelectorAll("ul[data-sidebar=menu] > div:not([role=listitem])")) other.setAttribute("role", "listitem")
  for (const options of document.querySelectorAll("#thread-options:not([aria-hidden])")) {
    options.setAttribute("aria-hidden", "true")
    const chat = options.closest("li")
    options.closest("button")?.setAttribute("tabindex", "-1")
    const button = el("button", {
      type: "button", className: "xoe-options", textContent: "⋯",
      "aria-label": `Options of ${chat.textContent.trim() || "this chat"}`, "aria-haspopup": "menu",
      onclick: () => {
        opener = button
        options.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 0 }))
      }
    })
    chat.append(button)
  }
}

function mend() {
  nameButtons()
  nameChats()
  if (opener?.isConnected && document.activeElement === document.body && !isModal()) {
    opener.focus() // its menu would focus what cannot be
    opener = undefined
  }
  const conversation = document.querySelector(SCROLLED)
  if (conversation && !conversation.hasAttribute("tabindex")) {
    Object.assign(conversation, { tabIndex: 0, role: "region", ariaLabel: "Conversation" })
  }
  document.querySelector("#upload-button[role]")?.removeAttribute("role")
  for (const input of document.querySelectorAll("[role=slider]:not([aria-label], [aria-labelledby]), [role=dialog] [cmdk-input]:not([aria-label])")) {
    input.removeAttribute("aria-labelledby")
    for (let up = input.parentElement; up && !input.hasAttribute("aria-label"); up = up.parentElement) {
      const label = up.querySelector("label")?.textContent.trim()
      if (label) input.setAttribute("aria-label", label)
    }
  }
  for (const element of document.querySelectorAll("[data-resize-handle][aria-controls]")) {
    if (!document.getElementById(element.getAttribute("aria-controls"))) element.removeAttribute("aria-controls")
  }
  // A list says it is open when it isn't.
  for (const box of document.querySelectorAll("[cmdk-input]")) set(box, "aria-expanded", `${!!document.getElementById(box.getAttribute("aria-controls"))}`)
  // On a telephone, titles of panels are not where they are said to be.
  for (const dialog of document.querySelectorAll("[role=dialog][aria-labelledby]:not([aria-label])")) {
    if (document.getElementById(dialog.getAttribute("aria-labelledby"))) continue
    dialog.setAttribute("aria-label", dialog.querySelector("#side-view-title, h2")?.textContent.trim() || (dialog.matches("[data-sidebar]") || dialog.querySelector("[data-sidebar]") ? "Chats" : "Panel"))
  }
  // A card in a list, where only choices may be.
  for (const card of document.querySelectorAll("[role=listbox] #chat-profile-description")) set(card, "aria-hidden", "true")
}

const followers = []
let waits = false

function look() {
  waits = false
  mend()
  for (const follow of followers) follow()
}

const watch = new MutationObserver((changes) => {
  for (const { type, target, addedNodes, removedNodes } of changes) {
    // Radix hides what is behind a menu, but not from the Tab key.
    if (type === "attributes") target.inert = target.dataset.ariaHidden === "true"
    else if (!waits && [...addedNodes, ...removedNodes].some((node) => node.nodeType === Node.ELEMENT_NODE)) {
      waits = true
      setTimeout(look, PAUSE_MS)
    }
  }
})

/** Look after the page from now on, once for all; `also` is called at each look. */
export function lookAfterThePage(also) {
  followers.push(also)
  if (followers.length === 1) watch.observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["data-aria-hidden"] })
  look()
}
