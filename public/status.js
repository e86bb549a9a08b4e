// Asks the health routes every two seconds and draws what they say. Nothing is kept longer than
// five minutes, and nothing comes from elsewhere.

;(() => {
  const EVERY_MS = 2000
  const POINTS = 150
  const TIMEOUT_MS = 8000
  const SVG = "http://www.w3.org/2000/svg"
  const LEVELS = ["full", "lighter_voice", "half_voice", "direct", "extractive", "template", "emergency"]
  const GOOD = { ready: "good", closed: "good", loading: "warn", half_open: "warn", failed: "bad", open: "bad" }
  const COLOURS = 7

  // A line is worked out from the metrics as they are now or, where it takes more than one
  // argument, from two polls and the seconds between them.
  const PLOTS = [
    {
      title: "Memory", unit: "MiB", lines: { used: now => total(now, "xoe_memory_bytes") / 2 ** 20 },
      top: now => total(now, "xoe_memory_limit_bytes") / 2 ** 20
    },
    { title: "First word of an answer", unit: "s", lines: {
      mean: (now, before) => mean(now, before, "xoe_turn_stage_seconds", { stage: "first_token" })
    } },
    { title: "Waiting requests", unit: "", lines: {
      model: now => total(now, "xoe_queue_depth", { queue: "llm" }),
      listening: now => total(now, "xoe_queue_depth", { queue: "stt" }),
      speaking: now => total(now, "xoe_queue_depth", { queue: "tts" })
    } },
    { title: "Tokens", unit: "/s", lines: {
      written: (now, before, s) => rate(now, before, s, "xoe_tokens_total", { kind: "completion" }),
      read: (now, before, s) =>
        rate(now, before, s, "xoe_tokens_total", { kind: "prompt" }) -
        rate(now, before, s, "xoe_tokens_total", { kind: "cached" })
    } },
    { title: "Event loop's delay", unit: "ms", lines: { mean: (now, before) => mean(now, before, "xoe_event_loop_lag_seconds") * 1000 } },
    { title: "Requests", unit: "/s", lines: { all: (now, before, s) => rate(now, before, s, "xoe_http_requests_total") } },
    { title: "Writes that wait for Redis", unit: "", lines: { history: now => total(now, "xoe_history_pending_writes") } },
    { title: "Sound that waits to be heard", unit: "KB", lines: { calls: now => total(now, "xoe_voice_buffer_bytes") / 1000 } },
    { title: "Processor", unit: "%", lines: { used: (now, before, s) => rate(now, before, s, "process_cpu_seconds_total") * 100 } }
  ]

  const byId = id => document.getElementById(id)
  const colours = new Map()
  let before = null, paused = false, asking = false, timer, last = 0

  // ── Theme ──────────────────────────────────────────────────────────────────────────────────
  try {
    const theme = localStorage.getItem("vite-ui-theme") // the chat's own choice
    if (theme === "dark" || theme === "light") document.documentElement.classList.add(theme)
  } catch { /* storage is switched off: the system's theme holds */ }

  // ── Prometheus' text format ────────────────────────────────────────────────────────────────
  function parse(text) {
    const samples = new Map()
    for (const line of text.split("\n")) {
      const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line)
      if (!found) continue
      const labels = {}
      for (const [, key, value] of (found[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value
      if (!samples.has(found[1])) samples.set(found[1], [])
      samples.get(found[1]).push({ labels, value: Number(found[3]) })
    }
    return samples
  }

  function total(samples, name, labels = {}) {
    const fits = sample => Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
    const values = (samples.get(name) || []).filter(fits)
    return values.length ? values.reduce((sum, sample) => sum + sample.value, 0) : NaN
  }

  function grown(now, before, name, labels) {
    const difference = total(now, name, labels) - total(before, name, labels)
    return difference < 0 ? NaN : difference // the server was started again
  }

  const rate = (now, before, seconds, name, labels) => grown(now, before, name, labels) / seconds
  const mean = (now, before, name, labels) =>
    grown(now, before, `${name}_sum`, labels) / grown(now, before, `${name}_count`, labels)

  // ── Pieces of the page ─────────────────────────────────────────────────────────────────────
  function make(tag, className = "", text = "") {
    const element = document.createElement(tag)
    if (className) element.className = className
    element.textContent = text
    return element
  }

  function shape(name, attributes, className = "") {
    const element = document.createElementNS(SVG, name)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    if (className) element.setAttribute("class", className)
    return element
  }

  // Elements stay what they are while their text changes, so that nobody loses the focus.
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text
  }

  const number = value => !Number.isFinite(value) ? "–" : value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })
  const spaced = name => name.replaceAll("_", " ")
  const clock = iso => new Date(iso).toLocaleTimeString()

  function age(iso) {
    const s = Math.max(0, Math.round((Date.now() - new Date(iso)) / 1000))
    if (s < 90) return `${s} s`
    if (s < 5400) return `${Math.round(s / 60)} min`
    return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`
  }

  const since = iso => `since ${clock(iso)} (${age(iso)})`

  // ── Plots ──────────────────────────────────────────────────────────────────────────────────
  function buildPlots() {
    for (const plot of PLOTS) {
      const figure = make("figure")
      const caption = make("figcaption")
      plot.values = make("span", "values")
      plot.topLabel = make("span", "top")
      caption.append(make("h3", "", plot.title), plot.topLabel)
      plot.svg = shape("svg", { viewBox: "0 0 150 40", preserveAspectRatio: "none", role: "img" })
      figure.append(caption, plot.svg, plot.values)
      byId("plots").append(figure)
      plot.history = Object.keys(plot.lines).map(() => [])
    }
  }

  function draw(plot, now, seconds) {
    const names = Object.keys(plot.lines)
    names.forEach((name, index) => {
      const known = before !== null || plot.lines[name].length === 1
      plot.history[index].push(known ? plot.lines[name](now, before, seconds) : NaN)
      if (plot.history[index].length > POINTS) plot.history[index].shift()
    })
    const seen = plot.history.flat().filter(Number.isFinite)
    const limit = plot.top ? plot.top(now) : NaN
    const top = Math.max(Number.isFinite(limit) ? limit : 0, ...seen, 0) || 1
    plot.svg.replaceChildren(shape("line", { x1: 0, y1: 20, x2: 150, y2: 20 }, "rule"))
    plot.values.replaceChildren()
    const said = []
    names.forEach((name, index) => {
      const points = plot.history[index]
      const latest = number(points.findLast(Number.isFinite))
      plot.svg.append(shape("path", { d: path(points, top) }, `line c${index + 1}`))
      const key = make("span", `key c${index + 1}`)
      key.append(make("span", "", `${name} ${latest}${plot.unit && ` ${plot.unit}`}`))
      plot.values.append(key)
      said.push(`${name} ${latest} ${plot.unit}`)
    })
    say(plot.topLabel, seen.length ? `${Number.isFinite(limit) ? "of" : "up to"} ${number(top)} ${plot.unit}` : "")
    plot.svg.setAttribute("aria-label", `${plot.title}: ${said.join(", ")}`)
  }

  function path(points, top) {
    const first = POINTS - points.length
    let drawn = "", pen = "M"
    points.forEach((value, index) => {
      if (!Number.isFinite(value)) {
        pen = "M" // a gap
        return
      }
      const y = (38 - 36 * value / top).toFixed(2)
      drawn += `${pen}${first + index} ${y}${pen === "M" ? `h.6` : ""}` // a single point shows too
      pen = "L"
    })
    return drawn
  }

  // ── Level, parts and circuits ──────────────────────────────────────────────────────────────
  function showLevel(health) {
    say(byId("level"), health.level ? spaced(health.level) : "starting")
    byId("level").className = health.level === "full" ? "good" : "warn"
    say(byId("level-since"), health.level_since ? since(health.level_since) : "")
    say(byId("level-reason"), health.level_reason || (health.ready ? "Everything works." : "Not everything is loaded yet."))
    for (const [index, step] of [...byId("ladder").children].entries()) {
      if (LEVELS[index] === health.level) step.setAttribute("aria-current", "true")
      else step.removeAttribute("aria-current")
    }
  }

  function card(list, name) {
    let found = [...list.children].find(item => item.dataset.name === name)
    if (!found) {
      found = make("li")
      found.dataset.name = name
      found.append(make("h3", "", name), make("p", "state"), make("p", "detail"), make("p", "since"))
      list.append(found)
    }
    return found.children
  }

  function keep(list, names) {
    for (const item of [...list.children]) if (!names.includes(item.dataset.name)) item.remove()
  }

  function showParts(parts, build) {
    keep(byId("parts"), parts.map(part => part.name))
    for (const part of parts) {
      const [, state, detail, sinceWhen] = card(byId("parts"), part.name)
      say(state, part.state)
      state.className = `state ${GOOD[part.state] || ""}`
      say(detail, part.name === "model" && build ? `${part.detail}; ${buildOf(build)}` : part.detail)
      say(sinceWhen, since(part.since))
    }
  }

  function showEngines(engines) {
    keep(byId("engines"), engines.map(engine => engine.name))
    for (const engine of engines) {
      const [, state, detail, about] = card(byId("engines"), engine.name)
      say(state, engine.state)
      state.className = `state ${GOOD[engine.state] || ""}`
      say(detail, engine.problem && `${engine.state === "ready" ? "Lost last: " : ""}${engine.problem}`)
      say(about, `process ${engine.pid ?? "–"}, ${number(engine.memory_mb)} MiB, started again ${engine.restarts} times`)
    }
  }

  function buildOf(build) {
    const name = `llama.cpp for ${build.variant}${build.proven ? "" : ", not yet seen to work here"}`
    return build.reason ? `${name}. ${build.reason}` : name
  }

  function showCircuits(circuits) {
    keep(byId("circuits"), Object.keys(circuits))
    const percent = share => `${Math.round(share * 100)} %`
    for (const [name, circuit] of Object.entries(circuits)) {
      const [, state, detail, sinceWhen] = card(byId("circuits"), name)
      const probe = circuit.next_probe_at ? Math.ceil((new Date(circuit.next_probe_at) - Date.now()) / 1000) : null
      const next = probe === null ? "" : probe > 0 ? `, next try in ${probe} s` : ", next try with the next call"
      say(state, `${spaced(circuit.state)}${next}`)
      state.className = `state ${GOOD[circuit.state] || ""}`
      say(detail, circuit.calls
        ? `${percent(circuit.failure_rate)} failed, ${percent(circuit.slow_rate)} slow, of the last ${circuit.calls}`
        : "no calls yet")
      say(sinceWhen, `${since(circuit.since)}, kept in ${circuit.store}`)
    }
  }

  // ── Turns ──────────────────────────────────────────────────────────────────────────────────
  function colourOf(stage) {
    if (!colours.has(stage)) {
      const number = Math.min(colours.size + 1, COLOURS) // what comes late shares the last one
      colours.set(stage, `c${number}`)
      if (number < COLOURS) byId("legend").append(make("li", `key c${number}`))
      if (number < COLOURS) byId("legend").lastChild.append(make("span", "", stage))
    }
    return colours.get(stage)
  }

  function showTurns(turns) {
    const list = byId("turns")
    byId("no-turns").hidden = turns.length > 0
    const open = new Map([...list.children].map(item => [item.dataset.turn, item]))
    for (const [id, item] of open) if (!turns.some(turn => turn.turn === id)) item.remove()
    turns.forEach((turn, place) => {
      const known = open.get(turn.turn)
      const spans = String(turn.spans.length) + turn.spans.map(span => span.ms === null)
      if (known && known.dataset.spans === spans) return
      const item = buildTurn(turn)
      item.dataset.turn = turn.turn
      item.dataset.spans = spans
      if (known) {
        item.firstChild.open = known.firstChild.open
        known.replaceWith(item)
      } else list.insertBefore(item, list.children[place] || null)
    })
  }

  function buildTurn(turn) {
    const item = make("li"), details = make("details"), summary = make("summary")
    const how = make("span", turn.outcome === "failed" ? "bad" : "", `${clock(turn.began)} ${turn.kind}, ${turn.outcome || "ended"}`)
    summary.append(how, bars(turn), make("span", "ms", `${number(turn.ms ?? NaN)} ms`))
    details.append(summary, stages(turn))
    item.append(details)
    return item
  }

  function bars(turn) {
    const svg = shape("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" })
    const first = Math.min(0, ...turn.spans.map(span => span.start_ms))
    const whole = Math.max(...turn.spans.map(span => span.start_ms + (span.ms ?? 0))) - first || 1
    for (const span of turn.spans.filter(span => span.depth === 1)) {
      const x = 1000 * (span.start_ms - first) / whole
      const width = Math.max(4, span.ms === null ? 1000 - x : 1000 * span.ms / whole)
      svg.append(shape("rect", { x, y: 0, width, height: 10 }, colourOf(span.name)))
    }
    return svg
  }

  function stages(turn) {
    const table = make("table")
    table.append(make("caption", "", `xoe trace ${turn.turn}`))
    for (const span of turn.spans) {
      const row = make("tr"), name = make("th", "", `${"\u2003".repeat(span.depth)}${span.name}`)
      name.scope = "row"
      const took = span.ms === null ? "had not ended" : `${number(span.ms)} ms`
      row.append(name, make("td", span.error ? "bad" : "", span.error ? `${span.error}, ${took}` : took))
      table.append(row)
    }
    return table
  }

  // ── Asking ─────────────────────────────────────────────────────────────────────────────────
  async function get(path, expected) {
    const answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" })
    if (!expected.includes(answer.status)) throw new Error(`${path} answered ${answer.status}`)
    return answer
  }

  async function poll() {
    const health = await (await get("/health", [200, 503])).json()
    const [circuits, turns, metrics] = await Promise.all([
      get("/health/circuits", [200]).then(answer => answer.json()),
      get("/health/turns?limit=12", [200]).then(answer => answer.json()),
      get("/metrics", [200, 503])
    ])
    showLevel(health)
    showParts(health.components, health.llama_build)
    showEngines(health.engines)
    showCircuits(circuits.circuits)
    showTurns(turns.turns)
    if (metrics.status === 200) {
      const now = parse(await metrics.text()), at = performance.now()
      for (const plot of PLOTS) draw(plot, now, (at - last) / 1000)
      before = now
      last = at
    }
    byId("problem").hidden = true
    say(byId("updated"), `${new Date().toLocaleTimeString()}, version ${health.version}`)
  }

  async function run() {
    clearTimeout(timer)
    if (asking) return
    asking = true
    try {
      await poll()
    } catch (problem) {
      say(byId("problem"), `The server does not answer (${problem.message}). What is shown may be out of date; it is asked again.`)
      byId("problem").hidden = false
    } finally {
      asking = false
    }
    if (!paused && !document.hidden) timer = setTimeout(run, EVERY_MS)
  }

  byId("pause").addEventListener("click", () => {
    paused = !paused
    byId("pause").setAttribute("aria-pressed", String(paused))
    if (paused) clearTimeout(timer)
    else run()
  })
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !paused) run()
  })

  for (const level of LEVELS) byId("ladder").append(make("li", "", spaced(level)))
  buildPlots()
  run()
})()
