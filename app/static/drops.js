// @ts-check
// The pictures in what is dropped on the page: files, and those in folders.

/** @param {DataTransfer | null} dropped @returns {Promise<File[]>} */
export async function pictures(dropped) {
  const files = [...(dropped?.files ?? [])];
  // Entries can be asked for only while the event is handled.
  const entries = [...(dropped?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null);
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = await Promise.all(entries.map((entry) => (entry ? within(entry, true) : [])));
  return found.flat();
}

/** @param {FileSystemEntry} entry @param {boolean} named whether it was dropped itself @returns {Promise<File[]>} */
async function within(entry, named) {
  if (entry.isDirectory) {
    const entries = await children(/** @type {FileSystemDirectoryEntry} */ (entry).createReader());
    entries.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    return (await Promise.all(entries.map((one) => within(one, false)))).flat();
  }
  const file = await new Promise((resolve) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, () => resolve(null)));
  return file && (named || file.type.startsWith("image/")) ? [file] : [];
}

/** All of a folder; browsers hand out a hundred at a time. @param {FileSystemDirectoryReader} reader */
async function children(reader) {
  const all = /** @type {FileSystemEntry[]} */ ([]);
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return all;
    all.push(...some);
  }
}
