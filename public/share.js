// Sharing: for the operator a button and a panel, for guests a banner that says where they are.
import { el, openDialog } from "./dialog.js"
import { lookAfterThePage } from "./labels.js"

const LOOK_MS = 15_000
const VISIT_MS = 10_000
const WARN_AT_MIN = [10, 5, 1]
const SERVICES = [
  ["ssh", "A host that I reach by SSH"], ["localhost.run", "localhost.run (public service)"], ["serveo", "Serveo (public service)"],
  ["pinggy", "Pinggy (public service)"], ["cloudflared", "Cloudflare (cloudflared is installed)"]
]

document.head.append(el("link", { rel: "stylesheet", href: "/public/share.css" }))

const inSight = () => document.visibilityState === "visible"
const plural = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`
function left(seconds) {
  if (seconds < 120) return plural(Math.max(0, Math.round(seconds)), "second")
  const minutes = Math.floor(seconds / 60)
  return minutes < 120 ? plural(minutes, "minute") : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

async function ask(path, body) {
  const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {}
  const answer = await fetch(path, { cache: "no-store", ...options })
  const said = await answer.json().catch(() => ({}))
  if (answer.ok) return said
  throw Object.assign(new Error(said.detail || `The server answered with ${answer.status}.`), { status: answer.status, fingerprint: said.fingerprint })
}

// ── Guests ───────────────────────────────────────────────────────────────────────────────────
function beGuest(visit) {
  const until = performance.now() + visit.ends_in_s * 1000
  const clock = el("strong", { id: "xoe-visit-left" })
  const news = el("span", { className: "xoe-unseen", role: "status", "aria-live": "polite" })
  const more = el("span", { id: "xoe-visit-more" },
    ` What you ask${visit.may_upload ? " and upload" : ""} is worked on there, and whoever runs it can read it. All of it is deleted when your visit ends.`,
    visit.may_upload ? "" : " You may ask, but not upload.")
  const fold = el("button", { type: "button", "aria-controls": "xoe-visit-more", onclick: () => show(more.hidden) })
  const banner = el("aside", { id: "xoe-visit", "aria-label": "Your visit" },
    el("p", {}, `${visit.name}, you are on the computer of `, el("strong", { textContent: visit.owner }), ", for ", clock, " more.", more), fold, news)
  if (!visit.may_upload) document.documentElement.dataset.xoeAskOnly = ""
  // It can be made smaller, and is whole again whenever the page is opened.
  function show(whole) {
    more.hidden = !whole
    fold.textContent = whole ? "Show less" : "Show more"
    fold.setAttribute("aria-expanded", String(whole))
  }
  let said, over = false
  function tick() {
    const seconds = Math.max(0, (until - performance.now()) / 1000)
    clock.textContent = left(seconds)
    const minute = WARN_AT_MIN.findLast((at) => seconds <= at * 60)
    if (minute && minute !== said && seconds > 0) news.textContent = `Your visit ends in ${left(seconds)}.`
    said = minute
    if (seconds <= 0) end("The time of your invitation is over.")
  }
  function end(sentence) {
    if (over) return
    over = true
    const root = openDialog("Your visit has ended", el("p", { textContent: `${sentence} What was kept of it is deleted. Thank you for coming.` })).root
    root.querySelector(".xoe-close").remove()
    root.addEventListener("close", () => location.reload())
  }
  show(true)
  tick()
  setInterval(tick, 1000)
  setInterval(async () => {
    if (over) return
    try {
      await ask("/visit")
    } catch (error) {
      if (error.status === 401 || error.status === 403) end(error.message)
    }
  }, VISIT_MS)
  lookAfterThePage(() => {
    const header = document.querySelector("#header")
    if (header && !banner.isConnected) header.before(banner)
  })
}

// ── The operator ─────────────────────────────────────────────────────────────────────────────
const OFF = { state: "off", guests: [] }
let share = OFF
const isOn = () => ["starting", "up", "lost"].includes(share.state)
const button = el("button", { id: "xoe-share", type: "button", "aria-haspopup": "dialog", onclick: openSharing })

function nameButton() {
  const here = share.guests.filter((guest) => guest.is_here).length
  const text = isOn() ? `Shared · ${plural(here, "guest")}` : "Share"
  if (button.textContent !== text) button.textContent = text
  button.dataset.on = isOn()
  button.title = isOn() ? "Who is on, and ending it" : "Let others in by a link"
}

async function look() {
  if (!inSight() || document.querySelector("#xoe-sharing")) return
  share = await ask("/share/state").catch(() => OFF)
  nameButton()
}

function beOperator() {
  nameButton()
  lookAfterThePage(() => {
    const place = document.querySelector("#header > :last-child")
    if (place && !button.isConnected) place.prepend(button)
  })
  look()
  setInterval(look, LOOK_MS)
  document.addEventListener("visibilitychange", look)
  addEventListener("message", ({ origin, data }) => {
    if (origin === location.origin && data?.xoe === "share") openSharing()
  })
}

function openSharing() {
  if (document.querySelector("#xoe-sharing")) return
  const body = el("div", { id: "xoe-sharing" })
  const problem = el("p", { className: "xoe-problem", role: "alert" })
  const events = new EventSource("/share/events")
  const dialog = openDialog("Share by a link", el("div", {}, problem, body), () => { events.close(); nameButton() })
  let shown, busy = false

  events.addEventListener("share", ({ data }) => {
    share = JSON.parse(data)
    nameButton()
    draw()
  })
  dialog.root.addEventListener("keydown", (event) => {
    if (!isOn() || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
    if (/^[1-9]$/.test(event.key) && share.guests.some((guest) => String(guest.number) === event.key && !guest.is_ended)) act("/share/end", { guest: event.key })
    if (event.key === "a") act("/share/end", {})
  })

  async function act(path, options) {
    problem.textContent = ""
    busy = true
    draw()
    try {
      share = await ask(path, options)
    } catch (error) {
      if (error.fingerprint) askForKey(options, error)
      else problem.textContent = error.message
    }
    busy = false
    nameButton()
    draw()
  }

  function askForKey(options, { message, fingerprint }) {
    const accept = el("button", { type: "button", className: "xoe-main", textContent: "Accept this key and share", onclick: () => act("/share/start", { ...options, accept_key: fingerprint }) })
    problem.replaceChildren(`${message.split(" Compare it")[0]} Compare it with what the server's owner tells you.`, el("br"), accept)
  }

  function draw() {
    const kind = busy && !isOn() ? "busy" : isOn() ? "on" : "off"
    if (kind !== shown) {
      shown = kind
      body.replaceChildren(...(kind === "on" ? running() : kind === "busy" ? [el("p", { role: "status", textContent: "The tunnel is being opened…" })] : asking()))
      body.querySelector(kind === "on" ? ".xoe-main" : "select")?.focus()
    }
    if (kind === "on") update()
    else if (kind === "off" && share.state === "ended") body.querySelector(".xoe-last").textContent = share.sentence
  }

  function asking() {
    const value = (name) => form.elements[name].value.trim()
    const field = (label, input) => el("label", {}, label, input)
    const service = el("select", { name: "service" }, ...SERVICES.map(([name, text]) => el("option", { value: name, textContent: text })))
    const host = field("Host", el("input", { name: "target", placeholder: "me@example.org", autocomplete: "off", spellcheck: false, maxLength: 300 }))
    const tls = el("label", { className: "xoe-check" }, el("input", { type: "checkbox", name: "tls" }), "Encrypt it all the way (https with this computer's own certificate); guests need that to speak")
    const form = el("form", {
      onsubmit: (event) => {
        event.preventDefault()
        const isHost = value("service") === "ssh"
        act("/share/start", {
          service: value("service"), target: isHost ? value("target") : null, scope: value("scope"),
          hours: Number(value("hours")), guests: Number(value("guests")), tls: isHost && form.elements.tls.checked
        })
      }
    },
    el("p", { className: "xoe-last" }),
    el("p", {}, "Whoever has the link can come in until its time is over or all places are taken. Nobody comes in without it."),
    field("Through", service), host, tls,
    field("Guests may", el("select", { name: "scope" }, el("option", { value: "ask", textContent: "Ask" }), el("option", { value: "upload", textContent: "Ask, and upload documents of their own" }))),
    field("For how many hours", el("input", { name: "hours", type: "number", min: 0.1, max: 168, step: "any", value: 2, required: true })),
    field("For how many guests", el("input", { name: "guests", type: "number", min: 1, max: 50, value: 5, required: true })),
    el("div", { className: "xoe-buttons" }, el("button", { type: "submit", className: "xoe-main", textContent: "Share" })))
    service.addEventListener("change", () => { host.hidden = tls.hidden = service.value !== "ssh" })
    return [form]
  }

  function running() {
    const link = el("input", { readOnly: true, id: "xoe-share-link", "aria-label": "The link", onfocus: () => link.select() })
    const copied = el("span", { role: "status", className: "xoe-soft" })
    const copy = el("button", {
      type: "button", className: "xoe-main", textContent: "Copy the link",
      onclick: async () => {
        link.select()
        const done = await navigator.clipboard?.writeText(link.value).then(() => true, () => false) || document.execCommand("copy")
        copied.textContent = done ? "Copied." : "Copy it from the field."
      }
    })
    return [
      el("p", { id: "xoe-share-state", role: "status" }), link,
      el("div", { className: "xoe-buttons" }, copy, copied),
      el("img", { id: "xoe-share-code", alt: "The link as a QR code", width: 220, height: 220 }),
      el("ul", { id: "xoe-share-notes" }), el("h3", { textContent: "Guests" }), el("ul", { id: "xoe-share-guests" }),
      el("div", { className: "xoe-buttons" },
        el("button", { type: "button", id: "xoe-share-end", textContent: "End it for all", onclick: () => act("/share/end", {}) }),
        el("span", { className: "xoe-soft", textContent: "Keys: a guest's number sends that guest out, a ends it for all." }))
    ]
  }

  function update() {
    const part = (id) => body.querySelector(`#${id}`)
    part("xoe-share-state").textContent = `${share.sentence}${share.ends_in_s == null ? "" : ` For ${left(share.ends_in_s)} more.`}`
    if (share.link && part("xoe-share-link").value !== share.link) {
      part("xoe-share-link").value = share.link
      part("xoe-share-code").src = `/share/code.svg?${encodeURIComponent(share.address)}`
    }
    part("xoe-share-notes").replaceChildren(...(share.notes ?? []).map((note) => el("li", { textContent: note })))
    const guests = share.guests.map((guest) => el("li", {},
      el("span", { textContent: `${guest.number}. Guest ${guest.number} ${guest.is_ended ? "is out" : guest.is_here ? "is here" : "is away"}, since ${new Date(guest.came_at * 1000).toLocaleTimeString([], { timeStyle: "short" })}` }),
      guest.is_ended ? null : el("button", { type: "button", textContent: "Send out", "aria-label": `Send guest ${guest.number} out`, onclick: () => act("/share/end", { guest: guest.id }) })))
    part("xoe-share-guests").replaceChildren(...(guests.length ? guests : [el("li", { textContent: "No guest has come yet." })]))
  }

  draw()
}

ask("/visit").then((visit) => {
  if (visit.role === "guest") beGuest(visit)
  else if (visit.may_share) beOperator()
}, () => {})
