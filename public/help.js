// Everything that helps to find one's way: loaded when the page itself is there.
import { mountChip, refresh, standing } from "./chip.js"
import { el, isModal } from "./dialog.js"
import { lookAfterThePage } from "./labels.js"
import { isNew } from "./seen.js"
import { showShortcuts } from "./shortcuts.js"

// Loaded when it is wanted.
const startTour = () => import("./tour.js").then((tour) => tour.startTour())

document.head.append(el("link", { rel: "stylesheet", href: "/public/help.css" }))
document.body.prepend(el("a", {
  className: "xoe-skip", href: "#chat-input", textContent: "Skip to the message box",
  onclick: (event) => {
    event.preventDefault()
    document.querySelector("#chat-input")?.focus()
  }
}))

// Links that the chat's own messages can have: [the tour](#tour).
const OPENERS = { "#tour": startTour, "#shortcuts": showShortcuts }
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".message-content a[href^='#']")
  const open = link && OPENERS[link.getAttribute("href")]
  if (!open) return
  event.preventDefault()
  open()
}, true)

const library = el("a", { id: "xoe-library-link", href: "/documents", textContent: "Library" })

// Guests are led by whoever invited them.
let offered = false
function offerTour() {
  mountChip(startTour)
  if (!library.isConnected) document.querySelector("#header > :last-child")?.prepend(library)
  if (offered || !standing.who || isModal() || !document.querySelector("#chat-input")) return
  offered = true
  if (!standing.guest && isNew(standing.who)) startTour()
}

document.addEventListener("xoe-standing", offerTour)
lookAfterThePage(offerTour)
refresh()
