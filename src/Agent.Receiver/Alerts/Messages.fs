namespace Agent.Receiver.Alerts

open System
open System.Globalization
open System.Text

/// One alert in a message.
type MessageLine =
    {
        /// What, since when and why.
        Text: string
        /// The page that shows the moment; empty where the dashboard's address is not known.
        Link: string
    }

/// The alerts of a message that have the same rule and state.
type MessagePart =
    {
        /// What they have in common: `12 machines silent`.
        Heading: string
        /// One for each.
        Lines: MessageLine[]
    }

/// What is sent to people, before it takes the form of a service.
type Message =
    {
        /// The same at each attempt.
        Id: string
        /// In one line.
        Title: string
        /// That of the most urgent alert.
        Level: AlertLevel
        /// Whether every alert in it is over.
        IsResolved: bool
        /// Its alerts, what began first.
        Parts: MessagePart[]
    }

/// Makes messages of notices.
[<RequireQualifiedAccess>]
module Messages =
    /// A longer title is cut, in UTF-16 units.
    [<Literal>]
    let LongestTitle = 200

    let private origin = DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero)

    /// The last instant that is written, in the year 2200: a damaged number costs no message.
    let private last = 6_311_433_600_000_000L

    /// An instant in microseconds from 2000-01-01 as `2026-11-29T07:30:00Z`.
    [<CompiledName "Instant">]
    let instant (microseconds: int64) : string =
        origin
            .AddMicroseconds(float (Math.Clamp(microseconds, 0L, last)))
            .ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)

    /// A text without control characters, of at most so many UTF-16 units; what was cut shows as …
    [<CompiledName "Cut">]
    let cut (most: int) (text: string) : string =
        let clean =
            if Seq.exists Char.IsControl text then
                String.map (fun c -> if Char.IsControl c then ' ' else c) text
            else
                text

        if clean.Length <= most then
            clean
        else
            let stop =
                if Char.IsHighSurrogate clean[most - 2] then
                    most - 2
                else
                    most - 1

            clean.Substring(0, stop) + "…"

    let private subject (notice: Notice) =
        match notice.Machine, notice.Slug with
        | "", "" -> "dashboard"
        | "", slug -> slug
        | machine, _ -> cut 120 machine

    let private lineOf (publicUrl: string) (notice: Notice) : MessageLine =
        let time =
            match notice.State with
            | NoticeState.Resolved when notice.Until >= 0L -> $"from {instant notice.Since} to {instant notice.Until}"
            | _ -> $"since {instant notice.Since}"

        let why = if notice.Why = "" then "" else $" {cut 500 notice.Why}."

        {
            Text = $"{subject notice}: {cut 300 notice.What}, {time}.{why}"
            Link =
                if publicUrl = "" || not (notice.Path.StartsWith '/') then
                    ""
                else
                    publicUrl.TrimEnd '/' + notice.Path
        }

    let private heading (notices: Notice[]) : string =
        let first = notices[0]

        match notices |> Array.distinctBy (fun notice -> notice.Slug, notice.Machine) with
        | [| _ |] when notices.Length = 1 -> $"{subject first}: {cut 120 first.What}"
        | [| _ |] -> $"{subject first}: {notices.Length} times {cut 60 first.Rule}"
        | machines when first.Rule.StartsWith("machine-", StringComparison.Ordinal) ->
            $"""{machines.Length} machines {cut 60 (first.Rule.Substring "machine-".Length)}"""
        | machines -> $"{cut 60 first.Rule} on {machines.Length} machines"

    /// The message that tells these notices, of which there is at least one. Links begin with the public URL; without one there are none.
    [<CompiledName "Of">]
    let ofNotices (publicUrl: string) (id: string) (notices: Notice[]) : Message =
        let firing, resolved = notices |> Array.partition (fun notice -> notice.State = NoticeState.Firing)

        let isCritical = Array.exists (fun (notice: Notice) -> notice.Level = AlertLevel.Critical)

        let groups state (some: Notice[]) =
            some
            |> Array.groupBy _.Rule
            |> Array.map (fun (_, same) -> state, same)
            |> Array.sortBy (fun (_, same) -> if isCritical same then 0 else 1)

        let all = Array.append (groups "" firing) (groups "resolved: " resolved)

        let level =
            if isCritical (if firing.Length > 0 then firing else resolved) then
                AlertLevel.Critical
            else
                AlertLevel.Warning

        let parts =
            all
            |> Array.map (fun (state, same) ->
                {
                    Heading = state + heading same
                    Lines = Array.map (lineOf publicUrl) same
                })

        let told = parts |> Array.truncate 2 |> Array.map _.Heading |> String.concat "; "

        let more =
            if parts.Length > 2 then
                $"; {parts.Length - 2} more"
            else
                ""

        let prefix = if firing.Length = 0 then "" else $"[{level.Name}] "

        {
            Id = id
            Title = cut LongestTitle $"{prefix}{told}{more}"
            Level = level
            IsResolved = firing.Length = 0
            Parts = parts
        }

    /// As many lines as fit, by a measure, each whole; the last says how many are missing. The first is cut where it does not fit.
    [<CompiledName "Fit">]
    let fit (measure: string -> int) (most: int) (lines: string[]) : string =
        let tail left =
            if left = 0 then "" else $"\n… and {left} more"

        let text = StringBuilder()
        let mutable used = 0
        let mutable size = 0
        let mutable isFull = false

        while not isFull && used < lines.Length do
            let line = if used = 0 then lines[0] else "\n" + lines[used]
            let next = size + measure line

            if next + measure (tail (lines.Length - used - 1)) <= most then
                text.Append line |> ignore
                size <- next
                used <- used + 1
            else
                isFull <- true

        if used = 0 && lines.Length > 0 then
            // No unit of any measure is longer than four.
            cut (max 2 (most / 4 - 8)) lines[0] + tail (lines.Length - 1)
        else
            text.Append(tail (lines.Length - used)).ToString()

    /// The lines of a message as plain text, links behind them; the heading of a part stands above it where there are several.
    [<CompiledName "Lines">]
    let lines (message: Message) : string[] =
        [|
            for part in message.Parts do
                if message.Parts.Length > 1 then
                    $"{part.Heading}:"

                for line in part.Lines do
                    if line.Link = "" then
                        line.Text
                    else
                        $"{line.Text} {line.Link}"
        |]
