// The beginning of a chat. The server sends new properties while it loads.
import { useRecoilValue } from "recoil"
import { loadingState, sessionState } from "@chainlit/react-client"
import { LoaderCircle, TriangleAlert } from "lucide-react"

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`
}

function known({ documents, passages, own, state }) {
  if (documents === 0) {
    return state === "loading"
      ? "Your library is being read…"
      : "There are no documents yet. Drop one here to begin."
  }
  const yours = own ? `, ${own === documents ? "all" : own} of them yours` : ""
  return `${count(documents, "document")}${yours}, ${count(passages, "passage")} to answer from.`
}

const PARTS = {
  engines: "The engines are starting; you can ask already.",
  model: "The model is still loading; you can ask already.",
  library: "The library is still being read; what is there can be asked about.",
  redis: "The memory of earlier turns is starting."
}

export default function Welcome() {
  const busy = useRecoilValue(loadingState)
  const connected = useRecoilValue(sessionState)?.socket?.connected
  const waiting = props.waiting.filter((part) => part.name !== "library" || props.documents || part.state === "failed")
  return (
    <div className="xoe-welcome" data-state={props.state}>
      <img src="/public/favicon.svg" alt="" width="56" height="56" />
      <h1>Ask your documents</h1>
      <p>
        What they say is quoted at once, then answered with numbered sources.
        Nothing leaves this computer. Drop a file here to add it.
      </p>
      <p className="xoe-known">{known(props)}</p>
      {props.notes.map((note) => <p key={note} className="xoe-note">{note}</p>)}
      <div role="status" aria-live="polite"><ul className="xoe-waiting">
        {waiting.map((part) => (
          <li key={part.name} data-state={part.state}>
            {part.state === "failed" ? <TriangleAlert aria-hidden="true" /> : <LoaderCircle aria-hidden="true" />}
            {part.state === "failed" ? part.detail : PARTS[part.name] || `${part.name} is loading`}
          </li>
        ))}
      </ul></div>
      <div id="starters" className="xoe-questions">
        {props.questions.map((question, index) => (
          <button
            key={question} id={`starter-${index + 1}`} type="button" disabled={busy || connected === false}
            onClick={() => sendUserMessage(question)}
          >
            {question}
          </button>
        ))}
      </div>
    </div>
  )
}
