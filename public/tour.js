// The tour of the first visit: the model for this machine, documents, the microphone. Remembered
// for each account in this browser; again from the chip and from /help.
import { standing } from "./chip.js"
import { el, openDialog } from "./dialog.js"
import { remember } from "./seen.js"

const MEASUREMENT = "/page/measurement"
const POLL_MS = 700
const LISTEN_MS = 5000
const YEAR_S = 365 * 24 * 3600

const button = (text, onclick) => el("button", { type: "button", textContent: text, onclick })
const says = () => el("p", { role: "status", "aria-live": "polite" })

export function startTour() {
  const steps = [standing.operator && modelStep, standing.may_upload && documentStep, microphoneStep].filter(Boolean)
  let place = 0, leave = () => {}
  const text = el("div", { className: "xoe-step" })
  const count = el("span", { className: "xoe-count" })
  const back = button("Back", () => go(place - 1))
  const next = button("Next", () => (place + 1 < steps.length ? go(place + 1) : dialog.root.close()))
  next.className = "xoe-main"
  const skip = button("Skip the tour", () => dialog.root.close())
  const dialog = openDialog("Welcome", el("div", {}, text, el("div", { className: "xoe-buttons" }, count, skip, back, next)), () => {
    leave()
    remember(standing.who)
    if (document.activeElement === document.body) document.querySelector("#chat-input")?.focus()
  })
  dialog.root.classList.add("xoe-tour")

  function go(to) {
    leave()
    place = to
    const step = steps[place]()
    leave = step.leave ?? (() => {})
    dialog.heading.textContent = step.title
    count.textContent = `Step ${place + 1} of ${steps.length}`
    back.hidden = place === 0
    skip.hidden = place + 1 === steps.length
    next.textContent = skip.hidden ? "Finish" : "Next"
    text.replaceChildren(...step.content)
    dialog.heading.focus()
  }
  go(0)
}

// ── Which model ──────────────────────────────────────────────────────────────────────────────
function modelStep() {
  const state = says(), bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Measuring" })
  const result = el("div"), start = button("Measure, about ten seconds", measure), stop = button("Stop", () => ask("DELETE"))
  let timer, left = false
  stop.hidden = true

  async function ask(method) {
    try {
      const answer = await fetch(MEASUREMENT, { method })
      const told = await answer.json()
      if (!answer.ok) throw new Error(told.detail)
      if (!left) show(told)
    } catch (error) {
      if (!left) state.textContent = error.message
    }
  }
  function measure() {
    start.hidden = true
    stop.hidden = false
    stop.focus()
    result.replaceChildren()
    ask("POST").then(() => { if (bar.hidden) settle() })
  }
  function settle() {
    const had = document.activeElement === stop
    stop.hidden = bar.hidden = true
    start.hidden = false
    if (had) start.focus()
  }
  function show(told) {
    const runs = told.state === "running"
    clearTimeout(timer)
    bar.hidden = !runs
    if (state.textContent !== told.doing) state.textContent = told.doing
    if (!runs) {
      settle()
      if (told.profile) result.replaceChildren(...recommendation(told))
      if (told.profile) start.textContent = "Measure again"
      return
    }
    start.hidden = true
    stop.hidden = false
    bar.max = Math.max(1, told.total)
    bar.value = told.done
    timer = setTimeout(() => ask("GET"), POLL_MS)
  }
  ask("GET")
  return {
    title: "Which model suits this machine?",
    content: [
      el("p", { textContent: "A larger model words its answers better and takes longer. Each installed one reads and writes a little here, while nobody asks, and the figures say which to use." }),
      el("div", { className: "xoe-buttons" }, start, stop), bar, state, result
    ],
    leave: () => {
      left = true
      clearTimeout(timer)
      if (!bar.hidden) fetch(MEASUREMENT, { method: "DELETE", keepalive: true })
    }
  }
}

function recommendation(told) {
  const head = ["Model", "Reads", "Writes", "A usual answer"].map((name) => el("th", { scope: "col", textContent: name }))
  const rows = told.prospects.map((one) => el("tr", { className: one.profile === told.profile ? "xoe-chosen" : "" },
    el("th", { scope: "row", textContent: one.title }),
    ...[`${Math.round(one.reading)} tokens/s`, `${Math.round(one.writing)} tokens/s`, `${Math.round(one.answer_s)} s`].map((cell) => el("td", { textContent: (one.measured ? "" : "about ") + cell }))))
  const notes = [`${(told.room_mb / 1000).toFixed(1)} GB of memory are free for a model.`]
  if (told.prospects.some((one) => !one.measured)) notes.push("“About”: worked out from the others’ figures.")
  const name = told.prospects.find((one) => one.profile === told.profile).title
  return [
    el("p", {}, el("strong", { textContent: told.sentence })),
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
    el("p", { className: "xoe-soft", textContent: notes.join(" ") }),
    ...(told.installed ? [use(told.profile, name)] : [install(told.command, name)])
  ]
}

function use(profile, name) {
  const done = says()
  const choose = button(`Use ${name} in this browser`, () => {
    document.cookie = `xoe_profile=${profile}; path=/; max-age=${YEAR_S}; samesite=lax`
    done.textContent = `New chats of this browser begin with ${name}. For an open one, type /model ${profile}.`
  })
  return el("div", {}, choose, done)
}

function install(command, name) {
  const done = says()
  const copy = button("Copy", () => navigator.clipboard.writeText(command).then(
    () => { done.textContent = "Copied." }, () => { done.textContent = "It could not be copied; please select it." }))
  return el("div", {}, el("p", {}, `${name} is not installed. This fetches it; reload the page afterwards:`), el("p", {}, el("code", { textContent: command }), " ", copy), done)
}

// ── Documents ────────────────────────────────────────────────────────────────────────────────
function documentStep() {
  const done = says(), input = document.querySelector("#upload-button-input")
  const chosen = () => { done.textContent = `${input.files.length || "The"} chosen: send the message box after the tour, and ${input.files.length === 1 ? "it is" : "they are"} read.` }
  input?.addEventListener("change", chosen)
  return {
    title: "Add your documents",
    content: [
      el("p", { textContent: "Drop PDF, Word, Excel, e-mail and many more files, pictures or recordings anywhere on the page, or choose them here. They are yours: nobody else can search them." }),
      el("p", { textContent: standing.operator ? "What lies in the folder “library” is for everybody who uses this server." : "The shared library is there already." }),
      el("div", { className: "xoe-buttons" }, button("Choose files…", () => input?.click())), done
    ],
    leave: () => input?.removeEventListener("change", chosen)
  }
}

// ── The microphone ───────────────────────────────────────────────────────────────────────────
function microphoneStep() {
  const state = says(), meter = el("meter", { min: 0, max: 1, value: 0, hidden: true, "aria-label": "Microphone level" })
  const problems = window.xoe?.problems ?? {}
  let stream, frame, ending, left = false
  const attempt = button("Try the microphone", () => (stream ? ending?.() : listen()))

  function settle(sentence) {
    cancelAnimationFrame(frame)
    stream?.getTracks().forEach((track) => track.stop())
    stream = ending = undefined
    meter.hidden = true
    attempt.textContent = "Try the microphone"
    state.textContent = sentence
  }
  async function listen() {
    if (!navigator.mediaDevices?.getUserMedia) return settle(problems.insecure)
    state.textContent = "Allow the microphone, when the browser asks."
    try {
      if (window.xoe) window.xoe.quiet = true
      stream = await navigator.mediaDevices.getUserMedia({ audio: true })
    } catch (error) {
      return settle(problems[error.name] ?? `The microphone cannot be used (${error.name}).`)
    } finally {
      if (window.xoe) window.xoe.quiet = false
    }
    if (left) return settle("")
    meter.hidden = false
    attempt.textContent = "Done"
    state.textContent = "Say a sentence…"
    const context = new AudioContext(), analyser = context.createAnalyser(), samples = new Float32Array(analyser.fftSize)
    context.createMediaStreamSource(stream).connect(analyser)
    const look = () => {
      analyser.getFloatTimeDomainData(samples)
      meter.value = Math.min(1, 4 * Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length))
      frame = requestAnimationFrame(look)
    }
    look()
    const pieces = [], recorder = new MediaRecorder(stream), limit = setTimeout(() => ending?.(), LISTEN_MS)
    ending = () => recorder.state === "recording" && recorder.stop()
    recorder.ondataavailable = ({ data }) => pieces.push(data)
    recorder.onstop = async () => {
      clearTimeout(limit)
      context.close()
      settle(left ? "" : "Writing down…")
      if (!left) state.textContent = await transcribe(new Blob(pieces))
    }
    recorder.start()
  }
  const off = standing.voice === false
  return {
    title: "Try the microphone",
    content: [
      el("p", { textContent: off
        ? "Voice is switched off on this server (XOE_VOICE), so there is nothing to try. Typing does it all."
        : "You can talk instead of typing: press p or the sound wave in the message box. The small microphone beside Send dictates. What you say stays on this server." }),
      off ? null : el("div", { className: "xoe-buttons" }, attempt), meter, state
    ].filter(Boolean),
    leave: () => {
      left = true
      ending?.()
      settle("")
    }
  }
}

async function transcribe(recording) {
  try {
    const answer = await fetch("/voice/dictation", { method: "POST", body: recording })
    const told = await answer.json()
    return answer.ok ? `It works. I understood: “${told.text}”` : told.detail
  } catch {
    return "The server did not answer. Please try again."
  }
}
