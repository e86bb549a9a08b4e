// The chip in the header: the level, the model and how many documents can be asked. It asks every
// ten seconds while the page is in sight, and at once when the server says that something changed.
import { el, openDialog } from "./dialog.js"
import { showShortcuts } from "./shortcuts.js"

const EVERY_MS = 10_000
const PATH = "/page/standing"
const LEVELS = {
  full: "Everything works: cited answers, and voice where it is switched on.",
  lighter_voice: "Everything works, with a smaller model or a simpler voice for a while.",
  half_voice: "One half of voice is away: type, or read the answers.",
  direct: "The documents cannot be searched; the model answers without them.",
  extractive: "The model is away: the best passages are quoted instead.",
  template: "Neither the model nor the search works; questions are kept and can be asked again.",
  emergency: "Neither the model, the search nor the voice works; questions are kept."
}

export let standing = {}
let chatModel, only, timer, startTour
let problem = "Starting"

const level = el("span", { className: "xoe-chip-level" })
const more = el("span", { className: "xoe-chip-more" })
// Read out when the level changes, and only then.
const news = el("span", { className: "xoe-unseen", role: "status", "aria-live": "polite" })
const chip = el("button", { id: "xoe-chip", type: "button", "aria-haspopup": "dialog", title: "How things stand", onclick: showStanding }, level, more)

const words = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ")
const title = () => problem || words(standing.level)
const model = () => chatModel || standing.model
const documents = () => `${standing.documents} document${standing.documents === 1 ? "" : "s"}`

function show() {
  const before = level.textContent
  level.textContent = title()
  more.textContent = problem ? "" : [model(), only || documents()].filter(Boolean).map((part) => ` · ${part}`).join("")
  chip.dataset.level = problem ? "none" : standing.level
  if (before && before !== title() && before !== "Starting") news.textContent = `${title()}. ${problem ? "" : standing.reason}`
}

export async function refresh() {
  clearTimeout(timer)
  if (document.visibilityState === "visible") timer = setTimeout(refresh, EVERY_MS)
  try {
    const answer = await fetch(PATH, { signal: AbortSignal.timeout(EVERY_MS) })
    if (!answer.ok) throw new Error(answer.status)
    standing = await answer.json()
    problem = standing.level ? "" : "Starting"
  } catch {
    problem = "No connection"
  }
  show()
  document.dispatchEvent(new Event("xoe-standing"))
}

/** Put the chip into the header, which React makes anew now and then; `tour` begins the tour. */
export function mountChip(tour) {
  startTour = tour
  const place = document.querySelector("#header > :last-child")
  if (place && !chip.isConnected) place.prepend(chip)
  if (place && !news.isConnected) document.body.append(news)
}

export function showStanding() {
  const row = (name, ...value) => [el("dt", { textContent: name }), el("dd", {}, ...value)]
  const own = standing.own ? `, ${standing.own} of them yours` : ""
  const list = el("dl", {},
    ...row("Level", el("strong", { textContent: title() }), ` ${problem ? "" : standing.reason || LEVELS[standing.level]}`),
    ...(problem ? [] : [...row("Model", `${model()} answers this chat`), ...row("Documents", only ? `This chat asks ${only}` : `${documents()} can be asked${own}`)]))
  const go = (open) => () => { dialog.root.close(); open() }
  const buttons = el("div", { className: "xoe-buttons" },
    el("button", { type: "button", textContent: "Take the tour", onclick: go(() => startTour()) }),
    el("button", { type: "button", textContent: "Keyboard shortcuts", onclick: go(showShortcuts) }),
    standing.operator ? el("a", { href: "/status", textContent: "Status page" }) : null)
  const dialog = openDialog("How things stand", el("div", {}, list, buttons))
}

addEventListener("message", ({ origin, data }) => {
  if (origin !== location.origin || data?.xoe !== "standing") return
  ;({ model: chatModel, only } = data)
  refresh()
})
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh() })
