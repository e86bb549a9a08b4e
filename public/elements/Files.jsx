// The dropped files: each with its progress, then "ready, N passages" or the reason why not.
import { useRecoilValue } from "recoil"
import { loadingState } from "@chainlit/react-client"
import { CircleCheck, CircleSlash, CircleX, Clock, LoaderCircle, RotateCw, X } from "lucide-react"

const ICONS = {
  waiting: Clock, working: LoaderCircle, ready: CircleCheck, unchanged: CircleCheck,
  failed: CircleX, stopped: CircleSlash
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`
}

function status(file) {
  if (file.state === "waiting") return "waiting"
  if (file.state === "stopped") return "stopped; nothing of it was kept"
  if (file.state === "failed") return file.reason
  if (file.state === "working") {
    return file.stage === "embedding" && file.total > 1
      ? `embedding ${file.done} of ${file.total}`
      : file.stage === "reading" && file.total > 1
        ? `reading, ${file.done} of ${file.total} pages` : file.stage || "reading"
  }
  const pages = file.pages ? ` from ${count(file.pages, file.unit)}` : ""
  const known = file.state === "unchanged" ? "ready already" : "ready"
  return `${known}, ${count(file.passages, "passage")}${pages}`
}

export default function Files() {
  const { files, questions } = props
  const busy = useRecoilValue(loadingState)
  return (
    <div className="xoe-files">
      <div role="status" aria-live="polite"><ul>
        {files.map((file, index) => {
          const Icon = ICONS[file.state] || Clock
          const moving = file.state === "working" && file.total > 1
          return (
            <li key={index} data-state={file.state}>
              <Icon aria-hidden="true" />
              <span className="xoe-file" title={file.name}>{file.name}</span>
              <span className="xoe-status">{status(file)}</span>
              {file.id && (file.state === "waiting" || file.state === "working") ? (
                <button type="button" title="Cancel" aria-label={`Cancel reading ${file.name}`}
                  onClick={() => callAction({ name: "cancel_file", payload: { id: file.id } })}><X aria-hidden="true" /></button>
              ) : null}
              {file.id && file.state === "failed" ? (
                <button type="button" title="Try again" aria-label={`Try to read ${file.name} again`}
                  onClick={() => callAction({ name: "retry_file", payload: { id: file.id } })}><RotateCw aria-hidden="true" /></button>
              ) : null}
              {moving ? <progress max={file.total} value={file.done} aria-label={`${file.name}: progress`} /> : null}
            </li>
          )
        })}
      </ul></div>
      {questions.length ? (
        <div className="xoe-questions">
          {questions.map((question) => (
            <button key={question} type="button" disabled={busy} onClick={() => sendUserMessage(question)}>
              {question}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  )
}
