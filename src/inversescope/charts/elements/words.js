// Elements of a page, and numbers as people read them: a true minus sign, a dash where undefined.

export const DASH = "–";

export const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

// `tip` is a function that gives the lines of a tip; the first is its title.
export function fill(node, { tip, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  if (tip) {
    node.tip = tip;
    node.classList.add("has-tip");
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export function number(value, digits = 2) {
  if (value === null || value === undefined) return DASH;
  const written = value.toFixed(digits);
  return Number(written) === 0 ? written.replace("-", "") : written.replace("-", "−");
}

export const range = (row, name) => `[${number(row[`${name}_low`])}, ${number(row[`${name}_high`])}]`;
export const interval = (row, name) => ((row[`${name}_low`] ?? null) === null ? number(row[name]) : `${number(row[name])} ${range(row, name)}`);

// A value of a record in words: whole numbers as they are, others with their interval where they have one.
export function shown(row, name) {
  const value = row[name];
  if (typeof value !== "number") return value === null || value === undefined || value === "" ? DASH : `${value}`;
  return Number.isInteger(value) && !(`${name}_low` in row) ? `${value}`.replace("-", "−") : interval(row, name);
}
