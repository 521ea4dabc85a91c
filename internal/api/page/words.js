// The page's words, in English and Chinese, and how numbers and times are written.

export const words = {
  skip: ["Skip to the engines", "跳到引擎列表"],
  summary: ["Summary", "概览"],
  engines: ["Engines", "引擎"],
  received: ["Received", "接收"],
  datagramsPerSecond: ["datagrams/s", "数据报/秒"],
  receivedTrend: ["Datagrams per second, last 3 minutes: lowest {low}, highest {high}, now {now}", "最近 3 分钟每秒数据报：最低 {low}，最高 {high}，现在 {now}"],
  rejected: ["Rejected", "拒收"],
  kernelDrops: ["Dropped by the kernel", "内核丢弃"],
  stateLog: ["State log", "状态日志"],
  logOn: ["Lag {lag}", "延迟 {lag}"],
  logOff: ["Off", "关闭"],
  logTrouble: ["Trouble: {trouble}", "故障：{trouble}"],
  applied: ["applied", "已应用"],
  duplicate: ["duplicate", "重复"],
  outOfOrder: ["out of order", "乱序"],
  written: ["written", "已写入"],
  queued: ["queued", "排队"],
  dropped: ["dropped", "丢弃"],
  noneEver: ["none since start", "启动以来没有"],
  noneLately: ["none in the last minute", "最近一分钟没有"],
  someLately: ["{count} in the last minute", "最近一分钟 {count}"],
  filter: ["Filter by id, mode or address", "按 ID、模式或地址筛选"],
  showOnly: ["Show only", "仅显示"],
  engineTable: ["Table of engines", "引擎表"],
  shownAll: ["{total} shown", "显示 {total} 个"],
  shownSome: ["{shown} of {total} shown", "显示 {shown} / {total} 个"],
  fresh: ["fresh", "正常"],
  idle: ["idle", "空闲"],
  initializing: ["initializing", "初始化"],
  stale: ["stale", "失联"],
  flagged: ["flagged", "有标记"],
  conflict: ["conflict", "冲突"],
  conflictWhy: ["Several senders use this engine_id", "多个发送者共用此 engine_id"],
  skewed: ["clock", "时钟"],
  skewedWhy: ["The sender's clock is more than 1 s off", "发送者时钟偏差超过 1 秒"],
  engine: ["Engine", "引擎"],
  status: ["Status", "状态"],
  mode: ["Mode", "模式"],
  latency: ["Latency", "延迟"],
  latencyUnit: ["ms", "毫秒"],
  queue: ["Queue", "队列"],
  queueUnit: ["tokens", "token"],
  kv: ["KV used", "KV 占用"],
  kvOf: ["KV cache used", "KV 缓存占用"],
  capacity: ["Capacity", "容量"],
  capacityUnit: ["tokens/s", "token/秒"],
  interval: ["Interval", "间隔"],
  intervalUnit: ["ms", "毫秒"],
  skew: ["Skew", "时钟偏差"],
  skewUnit: ["ms", "毫秒"],
  age: ["Age", "时效"],
  ageUnit: ["s", "秒"],
  flags: ["Flags", "标记"],
  trendLatency: ["Predicted latency, last 3 minutes: lowest {low} ms, highest {high} ms", "最近 3 分钟预测延迟：最低 {low} 毫秒，最高 {high} 毫秒"],
  trendQueue: ["Queue, last 3 minutes: lowest {low} tokens, highest {high} tokens", "最近 3 分钟队列：最低 {low} token，最高 {high} token"],
  unknown: ["unknown", "未知"],
  connecting: ["Connecting …", "正在连接……"],
  live: ["Live", "实时"],
  lost: ["Lost", "已断开"],
  lostBanner: ["The gateway has not answered for {seconds} s. What is shown is old. Trying again …", "网关已有 {seconds} 秒没有应答。所显示的内容已过时，正在重试……"],
  lostNews: ["The gateway is lost: what is shown is old.", "与网关失去连接：所显示的内容已过时。"],
  foundNews: ["The gateway is back.", "网关已恢复连接。"],
  wentStale: ["Went stale: {names}.", "失联：{names}。"],
  cameBack: ["Came back: {names}.", "恢复：{names}。"],
  andMore: ["{names} and {count} more", "{names} 等，另有 {count} 个"],
  about: ["version {version} · up {uptime}", "版本 {version} · 已运行 {uptime}"],
  asData: ["As data:", "数据接口："],
  emptyTitle: ["No engine has sent anything yet", "还没有引擎发送过状态"],
  emptyHow: ["The gateway listens for states on UDP port {port} ({mode}, {address}). Point an engine's agent at this host and that port, or send a state by hand:", "网关在 UDP 端口 {port} 上接收状态（{mode}，{address}）。请将引擎代理指向本机的这个端口，或手动发送一条状态："],
  emptyArrives: ["Datagrams do arrive and are rejected: see the reasons above.", "已收到数据报，但都被拒收：原因见上方。"],
  noMatch: ["No engine matches the filter.", "没有符合筛选条件的引擎。"],
  clearFilter: ["Show all", "显示全部"],
  close: ["Close", "关闭"],
  gone: ["The gateway holds this engine no more.", "网关已不再保留此引擎。"],
  source: ["Source", "来源"],
  timestamp: ["Taken at, by its clock", "引擎时钟时间"],
  receivedAt: ["Received at", "接收时间"],
  staleAfter: ["Stale after", "失联阈值"],
  lastHeartbeat: ["Last heartbeat", "最近心跳"],
  blocks: ["{share} · {used} of {total} blocks", "{share} · {used} / {total} 块"],
  historyOf: ["{what}, last {span}: lowest {low}, highest {high}, newest {newest}", "{what}，最近 {span}：最低 {low}，最高 {high}，最新 {newest}"],
  noHistory: ["No history", "没有历史记录"],
  heartbeats: ["Heartbeats are the ticks below the axis.", "坐标轴下方的短线是心跳。"],
  states: ["Newest states, as sent", "最近的状态（原样）"],
  seconds: ["{n} s", "{n} 秒"],
  minutes: ["{n} min", "{n} 分钟"],
  hours: ["{n} h", "{n} 小时"],
  days: ["{n} d", "{n} 天"],
};

const chinese = /^zh\b/i.test(navigator.language);

export const language = chinese ? "zh-Hans" : "en";

// t returns the words of a key with {name} replaced by values.name.
export function t(key, values) {
  const text = words[key][chinese ? 1 : 0];
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
}

// number returns a number with the given number of decimals; what is not known is a dash.
export function number(value, decimals = 0) {
  if (value == null || Number.isNaN(value)) return "–";
  return (Math.abs(value) < LONG ? formats[decimals] : scientific).format(value);
}

// signed is number for a difference.
export function signed(value) {
  return differences.format(value);
}

const LONG = 1e12; // from there numbers are written with an exponent

const formats = [0, 1, 2].map((digits) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));

const scientific = new Intl.NumberFormat(language, { notation: "scientific", maximumFractionDigits: 2 });
const differences = new Intl.NumberFormat(language, { signDisplay: "exceptZero", maximumFractionDigits: 0 });
const percentFormat = new Intl.NumberFormat(language, { style: "percent" });

export function percent(share) {
  return share == null ? "–" : percentFormat.format(share);
}

// duration returns seconds as people say them, in one unit.
export function duration(seconds) {
  if (seconds < 100) return t("seconds", { n: number(seconds) });
  if (seconds < 100 * 60) return t("minutes", { n: number(seconds / 60) });
  if (seconds < 48 * 3600) return t("hours", { n: number(seconds / 3600) });
  return t("days", { n: number(seconds / 86400) });
}

const timeFormat = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const dayFormat = new Intl.DateTimeFormat(language, { dateStyle: "medium" });

// clock returns Unix ms as the browser's local time, with the day when it is not today.
export function clock(ms) {
  const time = new Date(ms);
  if (ms == null || Number.isNaN(time.getTime())) return "–";
  const today = time.toDateString() === new Date().toDateString();
  return (today ? "" : dayFormat.format(time) + " ") + timeFormat.format(time);
}

// visible returns text from outside with everything that could hide, reorder or break it shown as an escape: control
// and format characters, bidi and zero-width ones among them, unassigned ones, and spaces other than the usual.
export function visible(text) {
  return text.replace(/[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu,
    (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}
