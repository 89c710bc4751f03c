const filter = document.getElementById("filter");
const rows = () => [...document.querySelectorAll("tbody tr:not(.up)")];
function sift() {
  const wanted = filter.value.toLowerCase();
  for (const row of rows()) {
    row.hidden = !row.querySelector(".name span").textContent.toLowerCase().includes(wanted);
  }
}
// Shows times in the user's time zone, and the filter unless the folder is empty.
function dress() {
  filter.hidden = rows().length === 0;
  for (const time of document.querySelectorAll("time")) {
    const local = new Date(time.dateTime);
    const two = (number) => String(number).padStart(2, "0");
    time.firstChild.data = `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())} `;
    time.lastChild.textContent = `${two(local.getHours())}:${two(local.getMinutes())}`;
  }
  sift();
}
filter.addEventListener("input", sift);
dress();
