// Modal dialogs of our own: the browser's <dialog>, which makes the rest of the page inert. Focus
// stays inside, Esc closes, and focus goes back to where it was.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (name in element && name !== "role") element[name] = value
    else element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child != null))
  return element
}

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), summary, [tabindex='0']"

let number = 0

/** Open a dialog with a title; `closed` is called once, however it was closed. */
export function openDialog(title, content, closed = () => {}) {
  const before = document.activeElement
  const id = `xoe-dialog-${++number}`
  const heading = el("h2", { id, tabIndex: -1, textContent: title })
  const close = el("button", { type: "button", className: "xoe-close", "aria-label": "Close", onclick: () => root.close() }, "×")
  const root = el("dialog", { className: "xoe-dialog", "aria-modal": "true", "aria-labelledby": id },
    el("header", {}, heading, close), content)

  root.addEventListener("keydown", (event) => {
    event.stopPropagation() // the page's own keys are for the page
    if (event.key !== "Tab") return
    const inside = [...root.querySelectorAll(FOCUSABLE)].filter((one) => one.checkVisibility())
    const from = inside.indexOf(document.activeElement)
    const edge = event.shiftKey ? from <= 0 : from === inside.length - 1
    if (!edge) return
    event.preventDefault()
    inside.at(event.shiftKey ? -1 : 0).focus()
  })
  root.addEventListener("click", (event) => { if (event.target === root) root.close() }) // beside it
  root.addEventListener("close", () => {
    root.remove()
    // What is gone cannot have it back; where nothing had it, single keys go on working.
    const goal = before?.isConnected ? before : document.querySelector("#chat-input")
    if (goal !== document.body) goal?.focus({ preventScroll: true })
    closed()
  })
  document.body.append(root)
  root.showModal()
  heading.focus()
  return { root, heading }
}

/** Whether a dialog or a menu is open, ours or Chainlit's. */
export const isModal = () => document.querySelector("dialog[open], [role=dialog][data-state=open], [role=menu], [role=listbox]") !== null
