// A new chat gets an address with its first question, and Chainlit draws it anew for that, at its
// top. This brings back the question that was just asked, unless the visitor scrolls.

const GIVEN_UP_MS = 8000
const LOOK_MS = 200
let at = location.pathname

setInterval(() => {
  const before = at
  at = location.pathname
  if (before === "/" && at.startsWith("/thread/")) bringBack()
}, LOOK_MS)

function bringBack() {
  const stop = () => {
    clearInterval(looking)
    clearTimeout(end)
    for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) removeEventListener(kind, stop)
  }
  const looking = setInterval(() => {
    const asked = [...document.querySelectorAll("[data-step-type=user_message]")].at(-1)
    if (asked && asked.getBoundingClientRect().top > innerHeight / 3) asked.scrollIntoView({ block: "start" })
  }, LOOK_MS)
  const end = setTimeout(stop, GIVEN_UP_MS)
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(kind, stop, { passive: true })
}
