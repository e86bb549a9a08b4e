// The quoted sentences of an answer. Each one, and each [n] in the answer above it, opens
// its passage in the side panel. All text comes as properties and is shown as text.
import { useEffect, useRef } from "react"
import { useSetRecoilState } from "recoil"
import { elementState } from "@chainlit/react-client"
import { CircleCheck, FileText, SearchX, TextQuote } from "lucide-react"

const PANEL = "xoe-passage"

// The outcomes are told apart by sign, line and words, not by colour alone.
const SIGNS = { answered: CircleCheck, nearest_passages: TextQuote, not_in_library: SearchX }

// In a recording the last heading is the time, such as 12:30–13:05.
const TIME = /(^| )(\d+:\d\d(:\d\d)?–\S+)$/

function whereabouts(citation) {
  if (citation.gone) return `${citation.source}, deleted since`
  if (citation.place) return `${citation.source}, ${citation.place}`
  const time = citation.heading.match(TIME)
  return time ? `${citation.source}, ${time[2]}` : citation.source
}

export default function Sources() {
  const { heading, outcome, citations } = props
  const Sign = SIGNS[outcome]
  const root = useRef(null)
  const setElements = useSetRecoilState(elementState)

  const open = (number, opener) => {
    const index = citations.findIndex((citation) => citation.number === number)
    if (index < 0) return
    // By selector, since the page makes its links anew whenever an element comes or goes.
    const step = root.current?.closest('[id^="step-"]')?.id ?? ""
    const panel = {
      id: PANEL, forId: "", type: "custom", name: "Passage", display: "side",
      props: { citations, index, opened: Date.now(), back: `#${CSS.escape(step)} ${opener}` }
    }
    setElements((all) => [...all.filter((element) => element.id !== PANEL), panel])
  }
  const latest = useRef(open)
  latest.current = open

  useEffect(() => {
    const message = root.current?.closest(".message-content")
    const onClick = (event) => {
      const link = event.target.closest?.('a[href^="#cite-"]')
      if (!link) return
      event.preventDefault()
      const href = link.getAttribute("href")
      latest.current(Number(href.slice("#cite-".length)), `a[href="${href}"]`)
    }
    message?.addEventListener("click", onClick)
    return () => message?.removeEventListener("click", onClick)
  }, [])

  return (
    <section ref={root} className="xoe-sources" data-outcome={outcome} aria-label={heading}>
      <h3>{Sign && <Sign aria-hidden="true" />}{heading}</h3>
      <ol>
        {citations.map((citation, place) => (
          <li key={citation.number} data-gone={citation.gone || undefined}>
            <button
              type="button"
              onClick={() => open(citation.number, `.xoe-sources li:nth-child(${place + 1}) button`)}
            >
              <span className="xoe-number">{citation.number}</span>
              <span className="xoe-quoted">
                {citation.quote && <q>{citation.quote}</q>}
                <span className="xoe-place">
                  <FileText aria-hidden="true" />
                  {whereabouts(citation)}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  )
}
