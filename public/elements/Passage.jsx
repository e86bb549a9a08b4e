// The side panel: a passage with the cited sentence marked.
import { useEffect, useRef, useState } from "react"
import { useSetRecoilState } from "recoil"
import { sideViewState } from "@chainlit/react-client"
import { ChevronLeft, ChevronRight } from "lucide-react"

export default function Passage() {
  const { citations } = props
  const [index, setIndex] = useState(props.index)
  const setSideView = useSetRecoilState(sideViewState)
  const top = useRef(null)
  const mark = useRef(null)
  const back = useRef(props.back)
  back.current = props.back
  const citation = citations[index]

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
  useEffect(() => { mark.current?.scrollIntoView({ block: "nearest" }) }, [index])

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
      <p className="xoe-text">
        {citation.before}
        <mark ref={mark}>{citation.marked}</mark>
        {citation.after}
      </p>
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
