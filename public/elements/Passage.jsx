// The side panel: the page of a cited sentence with a mark on it, or the passage of its text.
import { useEffect, useRef, useState } from "react"
import { useSetRecoilState } from "recoil"
import { sideViewState } from "@chainlit/react-client"
import { ChevronLeft, ChevronRight, Download, ZoomIn } from "lucide-react"

const NOT_NOW = "The original cannot be opened just now; this is its text."

async function told(answer) {
  try {
    return (await answer.json()).detail || NOT_NOW
  } catch {
    return NOT_NOW
  }
}

const address = (place) => `/library/${place.id}/original`

const picture = (place) => `/library/${place.id}/pages/${place.page}.png?start=${place.start}&end=${place.end}`

// By the document's number, or else, of an answer of an earlier visit, by its words.
async function placeOf(citation, signal) {
  const known = { id: citation.document, page: citation.page, start: citation.start, end: citation.end, drawn: citation.drawn }
  if (known.id) {
    const there = await fetch(address(known), { signal, headers: { Range: "bytes=0-0" } })
    if (there.ok) return known
    if (there.status !== 404) throw new Error(await told(there))
  }
  const found = await fetch("/library/cited", {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(citation.asked)
  })
  if (!found.ok) throw new Error(await told(found))
  const place = await found.json()
  const now = { ...place, page: place.page || 1 }
  const there = await fetch(address(now), { signal, headers: { Range: "bytes=0-0" } })
  if (!there.ok) throw new Error(await told(there))
  return now
}

function useOriginal(citation) {
  const [original, setOriginal] = useState({})
  useEffect(() => {
    if (!citation) return undefined
    const leaving = new AbortController()
    let url = ""
    const load = async () => {
      const place = await placeOf(citation, leaving.signal)
      setOriginal({ place })
      if (!place.drawn) return
      const drawn = await fetch(picture(place), { signal: leaving.signal })
      if (!drawn.ok) throw new Error(await told(drawn))
      url = URL.createObjectURL(await drawn.blob())
      setOriginal({ place, url, marks: Number(drawn.headers.get("X-Marks")) })
    }
    setOriginal({})
    load().catch((error) => {
      if (error.name === "AbortError") return
      const note = error instanceof TypeError ? NOT_NOW : error.message
      setOriginal((known) => ({ place: known.place, note }))
    })
    return () => {
      leaving.abort()
      if (url) URL.revokeObjectURL(url)
    }
  }, [citation])
  return original
}

function Tabs({ shown, choose }) {
  const onKeyDown = (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return
    event.preventDefault()
    const other = shown === "page" ? "text" : "page"
    choose(other)
    document.getElementById(`xoe-tab-${other}`)?.focus()
  }
  return (
    <div role="tablist" aria-label="How it is shown" className="xoe-tabs" onKeyDown={onKeyDown}>
      {["page", "text"].map((name) => (
        <button
          key={name} type="button" role="tab" id={`xoe-tab-${name}`} aria-selected={shown === name}
          aria-controls={`xoe-panel-${name}`} tabIndex={shown === name ? 0 : -1} onClick={() => choose(name)}
        >
          {name === "page" ? "Page" : "Text"}
        </button>
      ))}
    </div>
  )
}

function Page({ citation, original }) {
  const { place, url, marks } = original
  if (!url) return <p className="xoe-told" role="status">The page is being drawn …</p>
  const what = citation.place ? citation.place[0].toUpperCase() + citation.place.slice(1) : "The picture"
  const where = citation.place ? `${what} of ${citation.source}` : `${what} ${citation.source}`
  return (
    <a className="xoe-page" href={picture(place)} target="_blank" rel="noreferrer" title="Open it larger">
      <img src={url} alt={marks ? `${where}, with the cited sentence marked` : where} />
      <span><ZoomIn aria-hidden="true" /> Larger</span>
    </a>
  )
}

function Row({ cells }) {
  return (
    <div className="xoe-row">
      <table>
        <tbody>
          {cells.map(([name, value], number) => (
            <tr key={number}><th scope="row">{name}</th><td>{value}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

export default function Passage() {
  const { citations } = props
  const [index, setIndex] = useState(props.index)
  const [chosen, choose] = useState("page")
  const setSideView = useSetRecoilState(sideViewState)
  const top = useRef(null)
  const mark = useRef(null)
  const back = useRef(props.back)
  back.current = props.back
  const citation = citations[index]
  const original = useOriginal(citation)
  const drawn = Boolean(citation?.drawn) && !original.note
  const shown = drawn ? chosen : "text"
  const row = citation?.row?.length ? citation.row : null

  useEffect(() => { setIndex(props.index) }, [props.opened])
  useEffect(() => {
    top.current?.focus({ preventScroll: true })
    const onKey = (event) => {
      if (event.key === "Escape") setSideView(undefined)
    }
    document.addEventListener("keydown", onKey)
    return () => {
      document.removeEventListener("keydown", onKey)
      setTimeout(() => document.querySelector(back.current)?.focus({ preventScroll: true }))
    }
  }, [])
  useEffect(() => { mark.current?.scrollIntoView({ block: "nearest" }) }, [index, shown])

  if (!citation) return null
  return (
    <article className="xoe-passage" tabIndex={-1} ref={top} aria-label={`Passage ${citation.number}`}>
      <header>
        <span className="xoe-number">{citation.number}</span>
        <div>
          <p className="xoe-file">{citation.source}</p>
          <p className="xoe-where">
            {[citation.place && citation.place[0].toUpperCase() + citation.place.slice(1), citation.heading || citation.title]
              .filter(Boolean).join(" · ")}
          </p>
        </div>
      </header>
      {drawn ? <Tabs shown={shown} choose={choose} /> : null}
      {drawn ? (
        <div role="tabpanel" id="xoe-panel-page" aria-labelledby="xoe-tab-page" hidden={shown !== "page"}>
          <Page citation={citation} original={original} />
        </div>
      ) : null}
      <div
        id="xoe-panel-text" hidden={shown !== "text"}
        {...(drawn ? { role: "tabpanel", "aria-labelledby": "xoe-tab-text" } : {})}
      >
        {row ? <Row cells={row} /> : null}
        <p className="xoe-text">
          {citation.before}
          <mark ref={mark}>{citation.marked}</mark>
          {citation.after}
        </p>
      </div>
      {original.note ? <p className="xoe-told" role="status">{original.note}</p> : null}
      {original.place ? (
        <a className="xoe-original" href={address(original.place)} download>
          <Download aria-hidden="true" /> Open the original
        </a>
      ) : null}
      {citations.length > 1 ? (
        <nav aria-label="Citations">
          <button type="button" disabled={index === 0} onClick={() => setIndex(index - 1)}>
            <ChevronLeft aria-hidden="true" /> Previous
          </button>
          <span>{index + 1} of {citations.length}</span>
          <button type="button" disabled={index === citations.length - 1} onClick={() => setIndex(index + 1)}>
            Next <ChevronRight aria-hidden="true" />
          </button>
        </nav>
      ) : null}
    </article>
  )
}
