// The documents, with a way to remove one's own.
import { useState } from "react"
import { FileText, Trash2, Users } from "lucide-react"

function status(document) {
  if (document.status === "failed") return document.reason || "could not be read"
  const passages = `${document.passages} passage${document.passages === 1 ? "" : "s"}`
  const pages = document.pages
    ? `, ${document.pages} ${document.unit}${document.pages === 1 ? "" : "s"}` : ""
  return passages + pages
}

export default function Library() {
  const [removed, setRemoved] = useState([])
  const [shared, setShared] = useState([])
  const [failed, setFailed] = useState("")

  const remove = async (document) => {
    setFailed("")
    try {
      const answer = await callAction({ name: "remove_document", payload: { document_id: document.id } })
      if (answer?.response === false) throw new Error("gone")
      setRemoved((ids) => [...ids, document.id])
    } catch {
      setFailed(`${document.name} could not be removed. Please try again.`)
    }
  }

  const share = async (document) => {
    setFailed("")
    const answer = await callAction({ name: "share_document", payload: { document_id: document.id } }).catch(() => null)
    if (answer?.response) setShared((ids) => [...ids, document.id])
    else setFailed(`${document.name} could not be shared.`)
  }

  const kept = props.documents.filter((document) => !removed.includes(document.id))
  return (
    <div className="xoe-library">
      <ul>
        {kept.map((document) => ({ ...document, own: document.own && !shared.includes(document.id) })).map((document) => (
          <li key={document.id} data-state={document.status}>
            <FileText aria-hidden="true" />
            <span className="xoe-file" title={document.title}>{document.name}</span>
            <span className="xoe-status">
              {document.own ? "yours · " : "shared · "}{status(document)}
            </span>
            {document.own && document.shareable ? (
              <button
                type="button"
                title="Share it: everybody's questions are answered from it too"
                aria-label={`Share ${document.name} with everybody`}
                onClick={() => share(document)}
              >
                <Users aria-hidden="true" />
              </button>
            ) : null}
            {document.removable ? (
              <button type="button" aria-label={`Remove ${document.name}`} onClick={() => remove(document)}>
                <Trash2 aria-hidden="true" />
              </button>
            ) : null}
          </li>
        ))}
      </ul>
      {props.hidden ? <p>and {props.hidden} more</p> : null}
      <p><a href="/documents">Open the library</a> to search, tag and preview them, and to delete files of its folder.</p>
      {failed ? <p role="alert">{failed}</p> : null}
    </div>
  )
}
