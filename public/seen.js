// Which accounts have seen the tour in this browser; "off" in its place: nobody is offered it.
const SEEN = "xoe-tour"

const seen = () => { try { return JSON.parse(localStorage.getItem(SEEN)) ?? [] } catch { return "off" } }

export const isNew = (who) => seen() !== "off" && !seen().includes(who)

export function remember(who) {
  if (who && isNew(who)) localStorage.setItem(SEEN, JSON.stringify([...seen(), who].slice(-50)))
}
