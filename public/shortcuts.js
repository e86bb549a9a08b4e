// All keys, in one table: `run` is ours and is registered from here; what has none is the page's
// own. A row is listed only while it is true (`when`).
import { el, isModal, openDialog } from "./dialog.js"

const find = (selector) => document.querySelector(selector)
const last = (selector) => [...document.querySelectorAll(selector)].at(-1)
const press = (selector) => () => find(selector)?.click()
const SINGLE_KEYS = "xoe-single-keys"

export const SHORTCUTS = [
  { keys: "?", what: "Show this list", run: () => showShortcuts() },
  { keys: "m", what: "Go to the message box", run: () => find("#chat-input")?.focus() },
  { keys: "n", what: "Begin a new chat", when: () => find("#new-chat-button"), run: press("#new-chat-button") },
  { keys: "u", what: "Add documents", when: () => find("#upload-button"), run: press("#upload-button-input") },
  { keys: "s", what: "Show how things stand", when: () => find("#xoe-chip"), run: press("#xoe-chip") },
  { keys: "1 … 9", what: "Open the source with that number of the last answer", when: () => last(".xoe-sources"), run: openSource },
  { keys: "r", what: "Read the last answer aloud", when: () => last("button:has(.lucide-volume-2)"), run: () => last("button:has(.lucide-volume-2)").click() },
  { keys: "p", what: "Start or end a call", when: () => find("[aria-label='Start a call'], [aria-label='End the call']") },
  { keys: "Space", what: "Hold it down to talk, in a call with press and hold", when: () => find(".xoe-call-hold")?.checkVisibility() },
  { keys: "Enter", what: "Send the message" },
  { keys: "Shift+Enter", what: "Begin a new line in the message" },
  { keys: "/", what: "List the commands, at the beginning of a message" },
  { keys: "Ctrl+K", what: "Search your chats", when: () => find("#search-chats-button") },
  { keys: "Ctrl+B", what: "Show or hide the list of chats", when: () => find("[data-sidebar=sidebar], #sidebar-trigger-button") },
  { keys: "Esc", what: "Close what is open" }
]

function openSource(key) {
  const number = [...last(".xoe-sources").querySelectorAll(".xoe-number")].find((one) => one.textContent.trim() === key)
  number?.closest("button")?.click()
}

const isOn = () => localStorage.getItem(SINGLE_KEYS) !== "off"
const isTyping = (target) => target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName)

function rowOf(key) {
  return SHORTCUTS.find(({ keys }) => keys === key) ?? (/^[1-9]$/.test(key) ? SHORTCUTS.find(({ keys }) => keys === "1 … 9") : undefined)
}

// First of all listeners, so that a switched-off key of the page's own goes no further.
addEventListener("keydown", (event) => {
  const row = rowOf(event.key)
  if (!row || event.key.length > 1 || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return
  if (isTyping(event.target) || isModal() || event.key === "/") return
  if (!isOn() || (event.key === "p" && find(CONNECTING))) return event.stopImmediatePropagation()
  if (!row.run || (row.when && !row.when())) return
  event.preventDefault()
  event.stopImmediatePropagation()
  row.run(event.key)
}, true)

const isMac = /Mac|iP(hone|ad)/.test(navigator.userAgent)
const shown = (keys) => keys.split("+").flatMap((key, place) => [place ? "+" : null, el("kbd", { textContent: isMac && key === "Ctrl" ? "⌘" : key })])

export function showShortcuts() {
  const rows = SHORTCUTS.filter(({ when }) => !when || when())
    .map(({ keys, what }) => el("tr", {}, el("th", { scope: "row" }, ...shown(keys)), el("td", { textContent: what })))
  const single = el("input", { type: "checkbox", checked: isOn(), onchange: () => localStorage.setItem(SINGLE_KEYS, single.checked ? "on" : "off") })
  openDialog("Keyboard shortcuts", el("div", {},
    el("table", {}, el("tbody", {}, ...rows)),
    el("label", {}, single, " Single keys work while nothing is typed")))
}

// While a call is being connected, Chainlit's button and its key would begin another one.
const CONNECTING = "#message-composer button:not([id]):has(.lucide-loader)"
addEventListener("click", (event) => {
  if (event.target.closest?.(CONNECTING)) event.stopPropagation()
}, true)

// Chainlit's question before a new chat swallows Tab, and takes Enter on "Cancel" for "Confirm".
addEventListener("keydown", (event) => {
  if (!event.target.closest?.("#new-chat-dialog")) return
  if (event.key === "Tab" || ((event.key === "Enter" || event.key === " ") && event.target.closest("button"))) event.stopPropagation()
}, true)
