// Runs before the page is drawn: the theme, the call's bar, dictation and reading aloud.

// The theme follows the system until the visitor picks one; Chainlit's own default is dark.
if (!localStorage.getItem("vite-ui-theme")) {
  localStorage.setItem("vite-ui-theme", "system")
}

;(() => {
  const STATES = {
    loading: "Getting the voice ready…", listening: "Listening", thinking: "Thinking…",
    speaking: "Speaking; talk to interrupt", reading: "Reading aloud", dictating: "Dictating; press again when done",
    writing: "Writing down…"
  }
  const STAGES = {
    endpoint: "silence waited for", stt: "speech to text", retrieval: "retrieval",
    first_token: "first word written", first_audio: "end of speech to first sound"
  }
  const PROBLEMS = {
    NotAllowedError: "The browser does not let this page use the microphone. Allow it in the address bar, then press the microphone again.",
    NotFoundError: "No microphone was found. Plug one in, then press the microphone again.",
    NotReadableError: "Another program is using the microphone. Close it there, then try again.",
    insecure: "The microphone works only on a secure page: open this one on this computer as http://localhost, or by https."
  }
  // For the tour, which tells of problems itself.
  window.xoe = { problems: PROBLEMS, quiet: false }
  const HIDE_AFTER_MS = 12000
  const DICTATION_MS = 30000

  let bar, hiding, holding = false, player, recorder

  // ── The bar ────────────────────────────────────────────────────────────────────────────────
  function part(tag, name, text = "") {
    const element = document.createElement(tag)
    element.className = `xoe-call-${name}`
    element.textContent = text
    return element
  }

  function build() {
    const root = part("section", "bar")
    root.id = "xoe-call"
    root.setAttribute("aria-label", "Voice")
    const state = part("span", "state")
    state.setAttribute("role", "status")
    const meter = part("meter", "level")
    meter.setAttribute("aria-label", "Microphone level")
    const partial = part("p", "partial")
    const note = part("p", "note")
    note.setAttribute("role", "alert")
    const hold = part("button", "hold", "Hold to talk")
    const stop = part("button", "stop", "Stop")
    const details = part("details", "stages")
    const list = document.createElement("dl")
    details.append(part("summary", "summary", "Times of the last turn"), list)
    for (const button of [hold, stop]) button.type = "button"
    hold.addEventListener("pointerdown", press)
    for (const name of ["pointerup", "pointerleave", "pointercancel"]) hold.addEventListener(name, release)
    stop.addEventListener("click", stopReading)
    root.append(state, meter, hold, stop, partial, note, details)
    document.body.append(root)
    return { root, state, meter, partial, note, hold, stop, details, list }
  }

  function show(view) {
    bar ??= build()
    clearTimeout(hiding)
    bar.root.hidden = false
    if (view.state) {
      bar.root.dataset.state = view.state
      bar.state.textContent = STATES[view.state] ?? ""
    }
    if ("level" in view) bar.meter.value = view.level
    if ("partial" in view) bar.partial.textContent = view.partial
    if ("note" in view) bar.note.textContent = view.note
    place()
  }

  function place() {
    const composer = document.querySelector("#message-composer")?.getBoundingClientRect()
    if (composer) {
      bar.root.style.bottom = `${Math.max(8, innerHeight - composer.top + 8)}px`
      bar.root.style.maxWidth = `${composer.width}px`
      document.documentElement.style.setProperty("--xoe-call-height", `${bar.root.offsetHeight}px`)
    }
  }

  function hide() {
    if (bar) bar.root.hidden = true
  }

  function problem(name) {
    show({ state: "problem", level: 0, partial: "", note: PROBLEMS[name] ?? `The microphone cannot be used (${name}).` })
    hiding = setTimeout(hide, HIDE_AFTER_MS)
  }

  function showStages(stages) {
    if (!bar) return
    bar.details.hidden = false
    bar.list.replaceChildren(...Object.entries(STAGES).filter(([name]) => stages[name] != null).flatMap(
      ([name, label]) => [part("dt", "stage", label), part("dd", "ms", `${stages[name]} ms`)]
    ))
  }

  // ── Press and hold ─────────────────────────────────────────────────────────────────────────
  // Chainlit hands what is posted to the window on to the server.
  function press() {
    if (holding) return
    holding = true
    bar.hold.dataset.held = "true"
    window.postMessage({ xoe: "press" }, location.origin)
  }

  function release() {
    if (!holding) return
    holding = false
    delete bar.hold.dataset.held
    window.postMessage({ xoe: "release" }, location.origin)
  }

  // ── Typing ─────────────────────────────────────────────────────────────────────────────────
  // At a pause the server reads ahead of what stands in the message box.
  const PAUSE_MS = 400
  const FEWEST_WORDS = 3
  let typing = 0
  addEventListener("input", (event) => {
    if (event.target?.id !== "chat-input") return
    clearTimeout(typing)
    const text = (event.target.value ?? event.target.innerText).trim()
    if (text.startsWith("/") || text.split(/\s+/).length < FEWEST_WORDS) return
    typing = setTimeout(() => window.postMessage({ xoe: "typed", text }, location.origin), PAUSE_MS)
  })

  const isTyping = (element) => element.isContentEditable || /^(input|textarea|select|button)$/i.test(element.tagName)
  addEventListener("keydown", (event) => {
    if (event.code !== "Space" || event.repeat || !bar || bar.root.hidden || bar.hold.hidden || isTyping(event.target)) return
    event.preventDefault()
    press()
  })
  addEventListener("keyup", (event) => { if (event.code === "Space") release() })
  addEventListener("blur", release)

  // ── Reading aloud ──────────────────────────────────────────────────────────────────────────
  function read(url) {
    stopReading()
    player = new Audio(url)
    player.addEventListener("ended", stopReading)
    player.addEventListener("error", () => player && problem("the sound could not be played"))
    show({ state: "reading", note: "", partial: "" })
    bar.stop.focus({ preventScroll: true })
    player.play().catch(() => {})
  }

  function stopReading() {
    if (!player) return
    const ended = player
    player = undefined
    ended.pause()
    ended.removeAttribute("src")
    hide()
  }

  // ── Dictation ──────────────────────────────────────────────────────────────────────────────
  async function dictate() {
    if (recorder) return recorder.stop()
    if (!navigator.mediaDevices?.getUserMedia) return problem("insecure")
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true })
    } catch {
      return // the wrapped getUserMedia has said why
    }
    const pieces = []
    recorder = new MediaRecorder(stream)
    const limit = setTimeout(() => recorder?.stop(), DICTATION_MS)
    recorder.ondataavailable = (event) => pieces.push(event.data)
    recorder.onstop = async () => {
      clearTimeout(limit)
      recorder = undefined
      stream.getTracks().forEach((track) => track.stop())
      document.querySelector("#xoe-dictate")?.removeAttribute("data-on")
      show({ state: "writing", note: "" })
      await write(new Blob(pieces))
    }
    document.querySelector("#xoe-dictate")?.setAttribute("data-on", "true")
    show({ state: "dictating", note: "", partial: "", level: 0 })
    recorder.start()
  }

  async function write(recording) {
    try {
      const answer = await fetch("/voice/dictation", { method: "POST", body: recording })
      const said = await answer.json()
      if (!answer.ok) throw new Error(said.detail)
      hide()
      const input = document.querySelector("#chat-input")
      input.focus()
      document.execCommand("insertText", false, said.text)
    } catch (error) {
      show({ state: "problem", note: error.message })
      hiding = setTimeout(hide, HIDE_AFTER_MS)
    }
  }

  const MICROPHONE = '<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true"><path d="M4 7h10M4 12h6M4 17h4"/><rect x="16" y="8" width="5" height="8" rx="2.5"/><path d="M13.5 14a5 5 0 0 0 10 0M18.5 19v2"/></svg>'

  // Chainlit has no place for a button of one's own in the message box; React leaves a foreign
  // child of its row alone, and the observer puts it back when the row is made anew.
  function offerDictation() {
    const submit = document.querySelector("#chat-submit, #stop-button")
    if (!submit || document.querySelector("#xoe-dictate") || !document.querySelector("#message-composer")) return
    const button = part("button", "dictate")
    button.id = "xoe-dictate"
    button.type = "button"
    button.title = "Dictate into the message box"
    button.setAttribute("aria-label", button.title)
    button.innerHTML = MICROPHONE
    button.addEventListener("click", dictate)
    submit.parentElement.prepend(button)
  }

  // ── What the server and the browser tell ───────────────────────────────────────────────────
  const media = navigator.mediaDevices
  if (media?.getUserMedia) {
    const ask = media.getUserMedia.bind(media)
    media.getUserMedia = async (wanted) => {
      try {
        return await ask(wanted)
      } catch (error) {
        if (!window.xoe.quiet) problem(error.name)
        throw error
      }
    }
  }

  addEventListener("message", (event) => {
    const data = event.origin === location.origin ? event.data : undefined
    if (data?.xoe === "read") return read(data.url)
    if (data?.xoe === "export") return import("/public/export.js").then((module) => module.openExport(data))
    if (data?.xoe !== "call") return
    if (data.state === "stages") return showStages(data.stages)
    if (data.state === "off") {
      if (bar?.root.dataset.state !== "problem") hide()
      return release()
    }
    if (data.state === "mode") {
      show({})
      bar.hold.hidden = !data.hold
      return
    }
    if (data.state === "loading" && !media) return problem("insecure")
    stopReading()
    show(data)
  })

  let waits = false
  function lookAfterThePage() {
    if (waits) return
    waits = true
    requestAnimationFrame(() => {
      waits = false
      offerDictation()
    })
  }

  // The rest can wait until the page is there.
  addEventListener("DOMContentLoaded", () => import("/public/help.js"))
  addEventListener("DOMContentLoaded", () => import("/public/share.js"))
  addEventListener("DOMContentLoaded", () => import("/public/place.js"))
  addEventListener("resize", () => { if (bar && !bar.root.hidden) place() })
  new MutationObserver(lookAfterThePage).observe(document.documentElement, { childList: true, subtree: true })
})()
