// Share or export: an answer or a whole chat as a file, or as a read-only link.
import { el, openDialog } from "./dialog.js"

document.head.append(el("link", { rel: "stylesheet", href: "/public/export.css" }))

const FILES = [
  ["html", "Web page", "one file, with its sources; opens in any browser and prints well"],
  ["md", "Markdown", "text for notes and editors"],
  ["json", "JSON", "everything, for programs"]
]
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

async function ask(path, options) {
  let answer
  try {
    answer = await fetch(path, options)
  } catch {
    throw new Error("The server cannot be reached just now. Please try again in a moment.")
  }
  const told = answer.status === 204 ? {} : await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : `It did not work (${answer.status}).`)
  return told
}

const fileAddress = ({ thread, message }, kind) =>
  `/export/${encodeURIComponent(thread)}${message ? `/${encodeURIComponent(message)}` : ""}.${kind}`

/** Have the browser keep a file. What went wrong is thrown, with the server's sentence. */
async function download(of, kind) {
  const path = fileAddress(of, kind)
  const answer = await fetch(path).catch(() => { throw new Error("The server cannot be reached just now.") })
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? "It did not work.")
  const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? `chat.${kind}`
  const address = URL.createObjectURL(await answer.blob())
  el("a", { href: address, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(address), 60000)
}

async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value)
    return "The link is copied."
  } catch {
    field.select()
    return "Copy the link with Ctrl+C."
  }
}

export function openExport(of) {
  const said = el("p", { className: "xoe-export-said", role: "status" })
  const tell = (text) => { said.textContent = text }
  const tried = (act) => async () => { try { await act() } catch (problem) { tell(problem.message) } }
  if (of.kind) return download(of, of.kind).catch((problem) => openDialog("Export", el("p", { role: "alert" }, problem.message)))

  const what = of.message ? "this answer" : "this chat"
  const files = el("ul", { className: "xoe-export-files" }, ...FILES.map(([kind, name, about]) => el("li", {},
    el("button", { type: "button", "data-kind": kind, onclick: tried(async () => { await download(of, kind); tell(`${name}: it is in your downloads.`) }) }, name),
    el("span", {}, about))))
  const field = el("input", { type: "text", readOnly: true, hidden: true, "aria-label": "The link", className: "xoe-export-link" })
  const list = el("ul", { className: "xoe-export-links", "aria-label": "Links to this chat" })
  const make = el("button", { type: "button", className: "xoe-export-make" }, "Make a link")

  async function refresh() {
    const { links } = await ask("/links")
    list.replaceChildren(...links.filter((link) => link.thread === of.thread).map((link) => el("li", {},
      el("span", {}, `${link.message ? "One answer" : "The chat"}: ${link.name}, until ${link.until}`),
      el("button", { type: "button", "aria-label": `Take back the link to ${link.name}`, onclick: tried(async () => {
        await ask(`/links/${link.id}`, { method: "DELETE" })
        if (field.dataset.link === link.id) field.hidden = true
        tell("The link is taken back: it leads nowhere now.")
        await refresh()
      }) }, "Take back"))))
  }

  make.addEventListener("click", tried(async () => {
    make.disabled = true
    try {
      const body = JSON.stringify({ thread: of.thread, ...(of.message ? { message: of.message } : {}) })
      const link = await ask("/links", { method: "POST", headers: { "Content-Type": "application/json" }, body })
      field.value = `${location.origin}${link.path}`
      field.dataset.link = link.id
      field.hidden = false
      const here = LOOPBACK.test(location.hostname) ? " It works on this computer only: for others, open the chat by its shared or network address first." : ""
      tell(`${await copy(field)} It shows ${what} as it is now, until ${link.until}.${here}`)
      await refresh()
    } finally {
      make.disabled = false
    }
  }))

  const whole = !of.message ? null : el("button", { type: "button", className: "xoe-export-whole", onclick: () => {
    root.close()
    openExport({ thread: of.thread })
  } }, "The whole chat instead")
  const { root } = openDialog(`Share or export ${what}`, el("div", { className: "xoe-export" },
    el("h3", {}, "A file to keep"), files,
    el("h3", {}, "A read-only link"),
    el("p", {}, `Whoever has the link can read ${what} as it is now, for seven days, without coming in. You can take it back.`),
    make, field, said, list, whole))
  refresh().catch((problem) => tell(problem.message))
}
