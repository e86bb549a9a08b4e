// The library's page: asks for /library, draws what it says, and sends what is wanted of it. Names,
// titles and texts are a document's, so they are only ever set as text.
import { el, openDialog } from "./dialog.js"

const PAGE = 50
const PART = 50_000
const WAIT_MS = 250
const EVERY_MS = 5000
const SVG = "http://www.w3.org/2000/svg"
const byId = (id) => document.getElementById(id)

const view = { q: "", owner: "all", folder: "", state: "", tag: "", sort: "name", order: "asc", offset: 0 }
let listed = []
let matched = 0
let chosen = new Map()
let anchor = null
let shown = null // the document in the preview
let asked = 0
let loaded = ""

try {
  const theme = localStorage.getItem("vite-ui-theme") // the chat's own choice
  if (theme === "dark" || theme === "light") document.documentElement.classList.add(theme)
} catch { /* storage is switched off: the system's theme holds */ }

// ── Words ────────────────────────────────────────────────────────────────────────────────────
const plural = (n, one) => `${n.toLocaleString()} ${one}${n === 1 ? "" : "s"}`
function size(bytes) {
  const units = ["B", "kB", "MB", "GB"]
  let at = 0
  while (bytes >= 1000 && at < units.length - 1) { bytes /= 1000; at += 1 }
  return `${bytes >= 10 || at === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[at]}`
}
const day = (time) => new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" })
const moment = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })
const languages = new Intl.DisplayNames(undefined, { type: "language" })
const language = (code) => { try { return code && languages.of(code) } catch { return code } }
const pagesOf = (one) => one.pages ? plural(one.pages, one.unit) : ""

async function ask(path, method = "GET", body = undefined) {
  const options = { method, cache: "no-store" }
  if (body) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
  const answer = await fetch(path, options)
  const said = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error(said.detail || `The server answered with ${answer.status}.`)
  return said
}

function tell(problem, passing = false) {
  byId("problem").textContent = problem
  byId("problem").toggleAttribute("data-passing", passing)
  byId("problem").hidden = !problem
}

// ── The list ─────────────────────────────────────────────────────────────────────────────────
async function load() {
  const number = ++asked
  const wanted = new URLSearchParams({ ...view, limit: PAGE })
  let said
  try {
    said = await ask(`/library?${wanted}`)
  } catch (error) {
    if (number === asked) tell(`The library cannot be read: ${error.message}`, true)
    return
  }
  if (number !== asked) return // a later question was answered first
  if (!byId("problem").hidden && byId("problem").hasAttribute("data-passing")) tell("")
  if (said.matched && view.offset >= said.matched) {
    view.offset = Math.floor((said.matched - 1) / PAGE) * PAGE
    await load()
    return
  }
  const key = JSON.stringify([view, said])
  if (key === loaded) return // as it is on the page already
  loaded = key
  listed = said.documents
  matched = said.matched
  byId("adding").hidden = !said.may_add_pages
  byId("giving").hidden = !said.may_add
  byId("giving-to").hidden = !said.may_share
  drawSummary(said.totals)
  drawTree(said.totals.folders)
  drawTags(said.totals.tags)
  drawRows()
  drawPictures(said.totals)
}

function drawSummary(totals) {
  const failed = totals.failed ? `, ${totals.failed} of them could not be read` : ""
  byId("summary").textContent = `${plural(totals.documents, "document")}${failed}, ${plural(totals.passages, "passage")}, ${size(totals.bytes)}`
}

function drawRows() {
  const focused = document.activeElement?.closest?.("#rows tr")?.dataset.id
  byId("rows").replaceChildren(...listed.map(row))
  byId("nothing").hidden = listed.length > 0
  const narrowed = view.q || view.state || view.tag || view.folder || view.owner !== "all"
  byId("nothing").textContent = narrowed
    ? "No document is like that."
    : "There are no documents yet. Drop some on the chat, or put them into the library's folder."
  byId("paging").hidden = matched <= PAGE
  byId("where").textContent = `${view.offset + 1}–${Math.min(view.offset + PAGE, matched)} of ${matched.toLocaleString()}`
  byId("previous").disabled = view.offset === 0
  byId("next").disabled = view.offset + PAGE >= matched
  if (focused) (document.querySelector(`#rows tr[data-id="${focused}"] .open`) ?? byId("search")).focus()
  drawChosen()
}

function row(one) {
  const box = el("input", {
    type: "checkbox", "aria-label": `Choose ${one.name}`, checked: chosen.has(one.id),
    onclick: (event) => choose(one, event.target.checked, event.shiftKey)
  })
  const open = el("button", { type: "button", className: "open", textContent: one.name, title: one.title, onclick: () => preview(one.id) })
  const cell = (label, text, className = "") => el("td", { className, "data-label": label, textContent: text })
  const found = one.found === "content" ? el("p", { className: "quiet", textContent: "found in its text" }) : null
  const state = one.state === "failed"
    ? el("td", { "data-label": "" }, el("span", { className: "bad", textContent: "Failed" }), el("p", { className: "quiet", textContent: one.reason ?? "" }))
    : el("td", { "data-label": "" }, "Ready", one.reason ? el("p", { className: "quiet", textContent: one.reason }) : null)
  const line = el("tr", { "data-id": one.id, "aria-selected": String(shown?.id === one.id) },
    el("td", {}, box),
    el("td", { className: "name" }, open, el("p", { className: "quiet", textContent: [one.own ? "yours" : "shared", language(one.language)].filter(Boolean).join(" · ") }), found, tagList(one.tags)),
    cell("", one.kind ?? ""), cell("", size(one.bytes), "number"), cell("", pagesOf(one), "number"),
    cell("Passages", one.passages.toLocaleString(), "number"), cell("Read", day(one.added_at)), state)
  return line
}

const tagList = (tags) => tags.length ? el("ul", { className: "tags", "aria-label": "Tags" }, ...tags.map((tag) => el("li", { textContent: tag }))) : null

function choose(one, isChosen, withShift) {
  let span = [one]
  const from = listed.findIndex((other) => other.id === anchor)
  if (withShift && from >= 0) {
    const to = listed.findIndex((other) => other.id === one.id)
    span = listed.slice(Math.min(from, to), Math.max(from, to) + 1)
  }
  for (const each of span) isChosen ? chosen.set(each.id, each) : chosen.delete(each.id)
  anchor = one.id
  for (const box of document.querySelectorAll("#rows input")) box.checked = chosen.has(Number(box.closest("tr").dataset.id))
  drawChosen()
}

function drawChosen() {
  byId("chosen").hidden = chosen.size === 0
  byId("chosen-count").textContent = `${plural(chosen.size, "document")} chosen`
  byId("share-chosen").hidden = ![...chosen.values()].some((one) => one.movable && one.own)
  byId("own-chosen").hidden = ![...chosen.values()].some((one) => one.movable && !one.own)
  byId("all").checked = listed.length > 0 && listed.every((one) => chosen.has(one.id))
}

async function changeChosen(what) {
  try {
    const { changed, refused } = await ask("/library", "PATCH", { ids: [...chosen.keys()], ...what })
    for (const id of changed) chosen.delete(id)
    await load()
    drawRows()
    if (changed.includes(shown?.id)) await preview(shown.id)
    tell(refused.map((one) => one.reason).join(" "))
    const done = el("p", { textContent: `${plural(changed.length, "document")} changed.` })
    byId("undo").append(done)
    setTimeout(() => done.remove(), 4000)
  } catch (error) {
    tell(error.message)
  }
  byId("search").focus({ preventScroll: true })
}

function drawTags(tags) {
  const select = byId("tag")
  const known = Object.entries(tags)
  if (view.tag && !(view.tag in tags)) known.push([view.tag, 0])
  select.replaceChildren(el("option", { value: "", textContent: "Any tag" }), ...known.map(([tag, count]) => el("option", { value: tag, textContent: `${tag} (${count})` })))
  select.value = view.tag
}

// ── Folders ──────────────────────────────────────────────────────────────────────────────────
const closed = new Set()

function drawTree(folders) {
  const roots = [["own", "Yours"], ["shared", "Shared"]].map(([owner, name]) => ({ owner, folder: "", name, count: 0, inside: new Map() }))
  for (const { own, folder, documents } of folders) {
    let node = roots[own ? 0 : 1]
    node.count += documents
    let path = ""
    for (const part of folder.split("/").filter(Boolean)) {
      path = path ? `${path}/${part}` : part
      if (!node.inside.has(part)) node.inside.set(part, { owner: node.owner, folder: path, name: part, count: 0, inside: new Map() })
      node = node.inside.get(part)
      node.count += documents
    }
  }
  const all = { owner: "all", folder: "", name: "All documents", count: roots[0].count + roots[1].count, inside: new Map() }
  const tree = byId("tree")
  const had = tree.contains(document.activeElement)
  tree.replaceChildren(...[all, ...roots.filter((root) => root.count)].map(branch))
  const selected = tree.querySelector("[aria-selected=true]") ?? tree.firstElementChild
  if (selected) selected.tabIndex = 0
  if (had) selected?.focus()
}

function branch(node) {
  const key = `${node.owner}/${node.folder}`
  const isSelected = view.owner === node.owner && view.folder === node.folder
  const item = el("li", { role: "treeitem", tabIndex: -1, "aria-selected": String(isSelected), "aria-label": `${node.name}, ${plural(node.count, "document")}` },
    el("span", {}, el("b", { textContent: node.name }), el("i", { textContent: node.count.toLocaleString() })))
  item.firstChild.addEventListener("click", () => go(node))
  item.pick = () => go(node)
  if (node.inside.size) {
    item.setAttribute("aria-expanded", String(!closed.has(key)))
    item.toggle = (open) => { open ? closed.delete(key) : closed.add(key); item.setAttribute("aria-expanded", String(open)); group.hidden = !open }
    const group = el("ul", { role: "group", hidden: closed.has(key) }, ...[...node.inside.values()].map(branch))
    item.append(group)
  }
  return item
}

function go({ owner, folder }) {
  Object.assign(view, { owner, folder, offset: 0 })
  load()
}

byId("tree").addEventListener("keydown", (event) => {
  const items = [...byId("tree").querySelectorAll("[role=treeitem]")].filter((one) => one.checkVisibility())
  const at = items.indexOf(document.activeElement)
  if (at < 0) return
  const item = items[at]
  const keys = {
    ArrowDown: () => items[at + 1], ArrowUp: () => items[at - 1], Home: () => items[0], End: () => items.at(-1),
    ArrowRight: () => { if (item.getAttribute("aria-expanded") === "false") item.toggle(true); else if (item.toggle) return items[at + 1] },
    ArrowLeft: () => { if (item.getAttribute("aria-expanded") === "true") item.toggle(false); else return item.parentElement.closest("[role=treeitem]") }
  }
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); item.pick(); return }
  if (!(event.key in keys)) return
  event.preventDefault()
  const goal = keys[event.key]()
  if (!goal) return
  for (const one of items) one.tabIndex = one === goal ? 0 : -1
  goal.focus()
})

// ── One document ─────────────────────────────────────────────────────────────────────────────
async function preview(id) {
  let one
  try {
    one = await ask(`/library/${id}`)
  } catch (error) {
    tell(error.message)
    return
  }
  const before = document.activeElement
  shown = one
  history.replaceState(null, "", `#id=${id}`)
  for (const line of document.querySelectorAll("#rows tr")) line.setAttribute("aria-selected", String(Number(line.dataset.id) === id))
  const facts = [
    ["Name", one.name], ["Type", one.kind ?? "unknown"], ["Size", size(one.bytes)],
    ["Parts", [pagesOf(one), plural(one.passages, "passage")].filter(Boolean).join(", ")],
    ["Language", language(one.language)], ["Read", moment(one.added_at)], ["Whose", one.own ? "Yours: nobody else sees it" : "Shared: everybody's questions are answered from it"],
    ["State", one.state === "failed" ? `Failed: ${one.reason}` : one.reason ? `Ready. ${one.reason}` : "Ready"]
  ].filter(([, value]) => value)
  const title = el("h2", { id: "preview-title", textContent: one.title || one.name })
  const close = el("button", { type: "button", textContent: "Close", onclick: closePreview })
  const text = el("div", { className: "text", tabIndex: 0, role: "region", "aria-label": "The text that was read from it" })
  const sides = el("div", { className: "sides" })
  const panel = byId("preview")
  panel.replaceChildren(
    el("header", {}, title, close),
    el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", { textContent: value })])),
    actions(one), tagging(one), sides)
  panel.back = before
  panel.hidden = false
  coverTheRest(true)
  panel.focus({ preventScroll: true })
  if (one.headings.length) sides.append(outline(one, text))
  sides.append(el("h3", { textContent: "Text" }), text)
  original(one, text).then((side) => { if (side && shown === one) sides.prepend(side) })
  if (one.characters) await fill(one, text)
  else text.textContent = "There is no text in it."
}

// On a narrow screen a document covers the page, and what is behind it is out of reach.
const narrow = matchMedia("(max-width: 70rem)")
function coverTheRest(isOpen) {
  for (const part of document.querySelectorAll("body > header, main > :not(#preview)")) part.inert = isOpen && narrow.matches
}
narrow.addEventListener("change", () => coverTheRest(!byId("preview").hidden))

function closePreview() {
  const panel = byId("preview")
  if (panel.hidden) return
  panel.hidden = true
  coverTheRest(false)
  panel.replaceChildren()
  shown = null
  history.replaceState(null, "", location.pathname)
  for (const line of document.querySelectorAll("#rows tr")) line.setAttribute("aria-selected", "false")
  ;(panel.back?.isConnected ? panel.back : byId("search")).focus({ preventScroll: true })
}

function actions(one) {
  const button = (text, onclick) => el("button", { type: "button", textContent: text, onclick })
  const found = el("div", { className: "actions" })
  if (one.original) {
    found.append(button("Read again", async (event) => {
      event.target.disabled = true
      event.target.textContent = "Reading…"
      await change(one, () => ask(`/library/${one.id}/reindex`, "POST"))
    }))
  }
  if (one.original) found.append(el("a", { href: `/library/${one.id}/original`, textContent: "Download the original" }))
  if (one.movable) {
    const to = one.own ? "shared" : "own"
    found.append(button(one.own ? "Share with everybody" : "Make it mine alone", () => change(one, () => ask(`/library/${one.id}/move`, "POST", { to }))))
  }
  if (one.removable) found.append(button("Delete", () => remove([one])))
  else found.append(el("p", { className: "quiet", textContent: one.kept_because }))
  return found
}

function tagging(one) {
  const input = el("input", { type: "text", id: "tags", value: one.tags.join(", "), maxLength: 820, placeholder: "invoices, 2026" })
  return el("form", {
    className: "tagging",
    onsubmit: (event) => {
      event.preventDefault()
      change(one, () => ask(`/library/${one.id}`, "PATCH", { tags: tagsOf(input) }))
    }
  }, el("label", { htmlFor: "tags", textContent: "Tags" }), input, el("button", { type: "submit", textContent: "Keep" }))
}

const tagsOf = (input) => input.value.split(",").map((tag) => tag.trim()).filter(Boolean)

async function change(one, send) {
  try {
    const now = await send()
    tell("")
    await load()
    if (shown === one) await preview(now.id)
  } catch (error) {
    tell(error.message)
    if (shown === one) await preview(one.id)
  }
}

function outline(one, text) {
  const select = el("select", {
    id: "outline",
    onchange: async () => {
      const start = Number(select.value)
      while (text.end < Math.min(start + 1, one.characters)) await more(one, text)
      const spans = [...text.querySelectorAll("span")]
      const goal = spans.findLast((span) => Number(span.dataset.start) <= start) ?? spans[0]
      goal?.scrollIntoView({ block: "nearest" })
    }
  }, ...one.headings.map((heading) => el("option", { value: heading.start, textContent: `${"\u2003".repeat(Math.max(0, heading.level - 1))}${heading.text}` })))
  return el("p", {}, el("label", { htmlFor: "outline", textContent: "Go to " }), select)
}

async function fill(one, text) {
  text.end = 0
  await more(one, text)
}

// The text with a line beside each of its passages, a part at a time.
async function more(one, text) {
  const part = await ask(`/library/${one.id}/text?start=${text.end}&length=${PART}`)
  if (shown !== one) return
  text.querySelector("button")?.remove()
  const letters = [...part.text] // the server counts characters, JavaScript UTF-16 units
  let at = part.start
  const upTo = (end) => { const piece = letters.slice(at - part.start, end - part.start).join(""); at = end; return piece }
  for (const passage of one.passages_in_order) {
    if (passage.end <= at || passage.start >= part.end) continue
    if (passage.start > at) text.append(upTo(passage.start))
    const page = part.pages.findLast((each) => each.start <= Math.max(passage.start, part.start))?.number
    const line = el("span", { "data-start": passage.start, onclick: () => pick(text, line, page) })
    line.append(...placeOf(one, text, line, passage, page), upTo(Math.min(passage.end, part.end)))
    text.append(line)
  }
  if (at < part.end) text.append(upTo(part.end))
  text.end = part.end
  if (part.end < one.characters) text.append(el("button", { type: "button", textContent: "Show more", onclick: () => more(one, text) }))
}

// What stands above a passage: its headings where they are others than before, and so its page, to
// which the picture beside the text is turned.
function placeOf(one, text, line, passage, page) {
  const found = []
  if (passage.heading && passage.heading !== text.heading) found.push(el("b", { textContent: passage.heading }))
  if (page && page !== text.page) {
    const name = `${one.unit} ${page}`
    found.push(text.turn === null || one.kind !== "pdf" ? el("i", { textContent: name })
      : el("button", { type: "button", className: "turn", textContent: name, "aria-label": `Turn to ${name}`, onclick: () => text.side?.scrollIntoView({ block: "nearest" }) }))
  }
  Object.assign(text, { heading: passage.heading, page })
  return found.length ? [el("small", {}, ...found)] : []
}

function pick(text, line, page) {
  if (getSelection().toString()) return // text is being marked, to be copied
  for (const other of text.querySelectorAll("[aria-current]")) other.ariaCurrent = null
  line.ariaCurrent = "true"
  text.picked = page
  if (page) text.turn?.(page)
}

// Without a picture of them pages are only named.
function unturned(text) {
  text.turn = null
  for (const button of text.querySelectorAll(".turn")) button.replaceWith(el("i", { textContent: button.textContent }))
}

// The pages of a PDF and pictures, where the server can draw them.
async function original(one, text) {
  if (!["pdf", "image"].includes(one.kind)) return null
  const last = one.pages || 1
  let number = 1
  const image = el("img", {})
  const where = el("span", {})
  const draw = (to) => {
    number = Math.min(last, Math.max(1, to))
    image.alt = last > 1 ? `Page ${number} of ${one.name}` : one.name
    image.src = `/library/${one.id}/pages/${number}.png`
    where.textContent = `Page ${number} of ${last}`
    back.disabled = number === 1
    on.disabled = number === last
  }
  const back = el("button", { type: "button", textContent: "Previous page", onclick: () => draw(number - 1) })
  const on = el("button", { type: "button", textContent: "Next page", onclick: () => draw(number + 1) })
  draw(1)
  try {
    await image.decode()
  } catch {
    unturned(text)
    return null // its file is not kept, or cannot be drawn
  }
  text.turn = draw
  if (text.picked) draw(text.picked)
  text.side = el("div", { className: "original" }, last > 1 ? el("nav", { "aria-label": "Pages" }, back, where, on) : null, image)
  return text.side
}

// ── What comes in ────────────────────────────────────────────────────────────────────────────
const QUEUE = "/library/queue"
const SHOWN_AFTER_MS = 60_000
const ENDED = ["ready", "failed", "cancelled"]
let wasActive = 0
let looking = 0

function lasting(seconds) {
  const whole = Math.max(1, Math.round(seconds))
  return whole < 90 ? `${whole} s left` : `${Math.round(whole / 60)} min left`
}

async function lookAtQueue() {
  const number = ++looking
  clearTimeout(lookAtQueue.next)
  let said = null
  if (document.visibilityState === "visible") said = await ask(`${QUEUE}?limit=50`).catch(() => null)
  if (number !== looking) return
  if (said) drawQueue(said)
  lookAtQueue.next = setTimeout(lookAtQueue, said?.active ? 1000 : EVERY_MS)
}

function drawQueue(said) {
  if (said.active < wasActive) load() // something of it is a document now
  wasActive = said.active
  // What is ready stands in the list; what failed lately or was cancelled is told here, once more.
  const lately = (one) => !ENDED.includes(one.state) || (one.state !== "ready" && Date.now() - one.ended_at * 1000 < SHOWN_AFTER_MS)
  const items = said.items.filter(lately)
  byId("incoming").hidden = items.length === 0
  byId("cancel-all").hidden = !items.some((one) => one.cancellable)
  const parts = [said.active ? `${plural(said.active, "file")} coming in` : "Nothing more comes in"]
  if (said.active && said.passages_per_second) parts.push(`${said.passages_per_second.toFixed(1)} passages a second`)
  if (said.active && said.seconds_left) parts.push(lasting(said.seconds_left))
  if (byId("incoming-sum").textContent !== parts.join(", ")) byId("incoming-sum").textContent = parts.join(", ")
  const held = document.activeElement?.closest?.("#incoming-items li")?.dataset.id
  byId("incoming-items").replaceChildren(...items.map(incoming))
  if (held) (document.querySelector(`#incoming-items li[data-id="${held}"] button`) ?? byId("search")).focus()
}

function incoming(one) {
  const far = one.total > 1 && !ENDED.includes(one.state)
  const words = [one.stage || one.state]
  if (far) words.push(`${one.done.toLocaleString()} of ${plural(one.total, one.unit)}`)
  if (far && one.seconds_left) words.push(lasting(one.seconds_left))
  if (one.state === "failed") words.push(one.reason)
  const act = (text, label, method, path) => el("button", {
    type: "button", textContent: text, "aria-label": `${label} ${one.name}`,
    onclick: () => ask(`${QUEUE}/${one.id}${path}`, method).catch((error) => tell(error.message)).then(lookAtQueue)
  })
  return el("li", { "data-id": one.id, "data-state": one.state },
    el("b", { textContent: one.name }),
    el("p", { className: one.state === "failed" ? "bad" : "quiet", textContent: words.filter(Boolean).join(", ") }),
    far ? el("progress", { max: one.total, value: one.done, "aria-label": `${one.name}: progress` }) : null,
    one.cancellable ? act("Cancel", "Cancel reading", "DELETE", "") : null,
    one.retriable ? act("Try again", "Try to read again", "POST", "/retry") : null)
}

async function give(files) {
  const problems = []
  for (const file of files) {
    const form = new FormData()
    form.append("file", file)
    const answer = await fetch(`${QUEUE}?to=${byId("giving-to").hidden ? "own" : byId("to").value}`, { method: "POST", body: form }).catch(() => null)
    const said = await answer?.json().catch(() => null)
    if (!answer?.ok) problems.push(`${file.name} was not taken: ${said?.detail ?? "the server cannot be reached."}`)
    lookAtQueue()
  }
  tell(problems.join(" "))
}

byId("files").addEventListener("change", (event) => { give([...event.target.files]); event.target.value = "" })
byId("giving").addEventListener("submit", (event) => event.preventDefault())
byId("cancel-all").addEventListener("click", () => ask(QUEUE, "DELETE").catch((error) => tell(error.message)).then(lookAtQueue))
addEventListener("dragover", (event) => {
  if (byId("giving").hidden || !event.dataTransfer?.types.includes("Files")) return
  event.preventDefault()
  document.body.toggleAttribute("data-over", true)
})
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.removeAttribute("data-over") })
addEventListener("drop", (event) => {
  document.body.removeAttribute("data-over")
  if (byId("giving").hidden || !event.dataTransfer?.files.length) return
  event.preventDefault()
  give([...event.dataTransfer.files])
})
lookAtQueue()

// ── Deleting, and bringing back ──────────────────────────────────────────────────────────────
async function remove(documents) {
  const files = documents.filter((one) => one.with_file)
  if (files.length && !await confirmed(files)) return
  let said
  try {
    said = await ask("/library/delete", "POST", { ids: documents.map((one) => one.id) })
  } catch (error) {
    tell(error.message)
    return
  }
  if (documents.some((one) => one.id === shown?.id && said.deleted.includes(one.id))) closePreview()
  for (const id of said.deleted) chosen.delete(id)
  const place = listed.findIndex((one) => said.deleted.includes(one.id))
  await load()
  const next = document.querySelectorAll("#rows .open")[Math.min(place, listed.length - 1)]
  ;(next ?? byId("search")).focus({ preventScroll: true })
  tell(said.refused.map((one) => one.reason).join(" "))
  if (said.deleted.length) offerUndo(said)
}

function confirmed(files) {
  return new Promise((resolve) => {
    let sure = false
    const what = files.length === 1 ? `The file ${files[0].name}` : `${files.length} files`
    const yes = el("button", { type: "button", textContent: "Delete", onclick: () => { sure = true; root.close() } })
    const no = el("button", { type: "button", textContent: "Keep", onclick: () => root.close() })
    const { root } = openDialog("Delete files?", el("div", {},
      el("p", { textContent: `${what} in the library's folder will be deleted too. You can undo it for a minute.` }),
      el("div", { className: "actions" }, yes, no)), () => resolve(sure))
  })
}

function offerUndo({ deleted, undo, seconds }) {
  const until = performance.now() + seconds * 1000
  const clock = el("span", { "aria-hidden": "true" })
  const bar = el("p", {}, el("span", { textContent: `${plural(deleted.length, "document")} deleted.` }))
  const over = () => { clearInterval(ticking); bar.remove() }
  const button = el("button", {
    type: "button", textContent: "Undo",
    onclick: async () => {
      button.disabled = true // once is enough
      clearInterval(ticking)
      try {
        const { restored } = await ask("/library/undo", "POST", { undo })
        await load()
        bar.replaceChildren(el("span", { textContent: `${plural(restored.length, "document")} brought back.` }))
        setTimeout(over, 4000)
      } catch (error) {
        over()
        tell(error.message)
      }
      byId("search").focus({ preventScroll: true })
    }
  })
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000)
    clock.textContent = `${left} s`
    if (left <= 0) over()
  }
  const ticking = setInterval(tick, 500)
  bar.append(button, clock)
  byId("undo").append(bar)
  tick()
}

// ── What is in it ────────────────────────────────────────────────────────────────────────────
let drawn = ""
function drawPictures(totals) {
  const key = JSON.stringify([totals.by_kind, totals.added, totals.failed])
  if (key === drawn) return
  drawn = key
  const kinds = Object.entries(totals.by_kind)
  const most = Math.max(1, ...kinds.map(([, one]) => one.bytes))
  const bars = kinds.flatMap(([kind, one]) => {
    const picture = shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, shape("rect", { width: Math.max(0.5, (one.bytes / most) * 100), height: 10 }))
    return [el("dt", { textContent: kind || "unknown" }), el("dd", { className: "bar" }, picture), el("dd", { textContent: `${size(one.bytes)}, ${plural(one.documents, "document")}` })]
  })
  byId("pictures").replaceChildren(
    el("figure", {}, el("figcaption", { textContent: "Size by type" }), el("dl", { className: "bars" }, ...bars)),
    growth(totals.added), failures(totals))
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

function growth(added) {
  const figure = el("figure", { className: "growth" }, el("figcaption", { textContent: "Growth" }))
  if (!added.length) return figure
  const times = added.map((one) => Date.parse(one.day))
  const [first, last] = [times[0], Math.max(Date.now(), times.at(-1))]
  let sum = 0
  const all = added.reduce((whole, one) => whole + one.documents, 0)
  const points = ["0,100"]
  added.forEach((one, at) => {
    const x = ((times[at] - first) / Math.max(1, last - first)) * 100
    points.push(`${x},${100 - (sum / all) * 95}`)
    sum += one.documents
    points.push(`${x},${100 - (sum / all) * 95}`)
  })
  points.push(`100,${100 - (sum / all) * 95}`)
  const label = `From ${day(times[0])} to today the library grew to ${plural(all, "document")}.`
  figure.append(
    shape("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": label }, shape("polyline", { points: points.join(" ") })),
    el("p", { className: "quiet" }, el("span", { textContent: day(times[0]) }), el("span", { textContent: plural(all, "document") })))
  return figure
}

function failures(totals) {
  const button = el("button", {
    type: "button", textContent: `Show ${plural(totals.failed, "document")} that could not be read`,
    onclick: () => { Object.assign(view, { state: "failed", offset: 0, owner: "all", folder: "" }); byId("state").value = "failed"; load(); byId("list-title").scrollIntoView() }
  })
  return el("figure", {}, el("figcaption", { textContent: "Failures" }), totals.failed ? button : el("p", { textContent: "Everything could be read." }))
}

// ── What is pressed ──────────────────────────────────────────────────────────────────────────
let typing
byId("search").addEventListener("input", () => {
  clearTimeout(typing)
  typing = setTimeout(() => { Object.assign(view, { q: byId("search").value, offset: 0 }); load() }, WAIT_MS)
})
byId("adding").addEventListener("submit", async (event) => {
  event.preventDefault()
  const button = event.target.querySelector("button")
  Object.assign(button, { disabled: true, textContent: "Fetching…" })
  try {
    const added = await ask("/library/pages", "POST", { address: byId("address").value })
    byId("address").value = ""
    tell("")
    await load()
    await preview(added.id)
  } catch (error) {
    tell(error.message)
  }
  Object.assign(button, { disabled: false, textContent: "Add the page" })
})
byId("filters").addEventListener("submit", (event) => event.preventDefault())
for (const id of ["state", "tag"]) byId(id).addEventListener("change", (event) => { Object.assign(view, { [id]: event.target.value, offset: 0 }); load() })
// By the menu, or by a column's head: its usual direction first, the other one when it is pressed again.
function sortBy(wanted) {
  const [sort, order] = wanted.split(" ")
  Object.assign(view, { sort, order, offset: 0 })
  drawSort()
  load()
}
function drawSort() {
  byId("sort").value = `${view.sort} ${view.order}`
  for (const head of document.querySelectorAll("[data-sort]")) {
    const isOn = head.dataset.sort.split(" ")[0] === view.sort
    head.parentElement.ariaSort = isOn ? `${view.order}ending` : null
  }
}
byId("sort").addEventListener("change", (event) => sortBy(event.target.value))
for (const head of document.querySelectorAll("[data-sort]")) {
  head.addEventListener("click", () => {
    const [sort, first] = head.dataset.sort.split(" ")
    const other = first === "asc" ? "desc" : "asc"
    sortBy(`${sort} ${view.sort === sort && view.order === first ? other : first}`)
  })
}
drawSort()
byId("previous").addEventListener("click", () => { view.offset = Math.max(0, view.offset - PAGE); load() })
byId("next").addEventListener("click", () => { view.offset += PAGE; load() })
byId("all").addEventListener("click", (event) => {
  for (const one of listed) event.target.checked ? chosen.set(one.id, one) : chosen.delete(one.id)
  drawRows()
})
byId("delete-chosen").addEventListener("click", () => remove([...chosen.values()]))
byId("tag-chosen").addEventListener("submit", (event) => {
  event.preventDefault()
  changeChosen({ tags: tagsOf(byId("more-tags")) }).then(() => { byId("more-tags").value = "" })
})
byId("share-chosen").addEventListener("click", () => changeChosen({ to: "shared" }))
byId("own-chosen").addEventListener("click", () => changeChosen({ to: "own" }))
byId("clear-chosen").addEventListener("click", () => { chosen = new Map(); drawRows(); byId("search").focus() })

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return
  const typed = event.target.closest?.("input:not([type=checkbox]), select, textarea")
  if (event.key === "Escape") { if (!byId("preview").hidden) closePreview(); return }
  if (typed) return
  if (event.key === "/") { event.preventDefault(); byId("search").focus(); return }
  const line = event.target.closest?.("#rows tr")
  if (event.key === "Delete" && (chosen.size || line || shown)) {
    const one = line ? listed.find((each) => each.id === Number(line.dataset.id)) : shown
    remove(chosen.size ? [...chosen.values()] : [one])
    return
  }
  if (line && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const goal = event.key === "ArrowDown" ? line.nextElementSibling : line.previousElementSibling
    if (!goal) return
    event.preventDefault()
    goal.querySelector(event.target.type === "checkbox" ? "input" : ".open").focus()
  }
})

const linked = () => { const found = /^#id=(\d+)$/.exec(location.hash); if (found && Number(found[1]) !== shown?.id) preview(Number(found[1])) }
addEventListener("hashchange", linked)
setInterval(() => { if (document.visibilityState === "visible" && !document.querySelector("dialog[open]")) load() }, EVERY_MS)
load().then(linked)
