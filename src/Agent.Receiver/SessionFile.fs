namespace Agent.Receiver

open System
open System.Globalization

/// A log-in that lasts.
[<NoComparison>]
type SessionRecord =
    {
        /// SHA-256 of the session's token in hexadecimal digits; the token itself is only in its cookie.
        Key: string
        /// When it is over.
        Ends: DateTimeOffset
        /// Changes with the password, so that a session ends when the password does.
        Stamp: string
        /// Who logged in.
        Name: string
    }

/// The file of sessions beside the database, with which they survive a restart.
[<NoComparison>]
type SessionFile =
    {
        /// What is kept of the viewers' password, where there is one: the next start knows by it whether it is still the same.
        ViewerPassword: PasswordHash voption
        /// What cookies of devices are signed with; empty for none so far.
        DeviceKey: byte[]
        /// The sessions.
        Sessions: SessionRecord[]
    }

/// The text of the file of sessions, a line for each.
[<RequireQualifiedAccess>]
module SessionFile =
    /// So many sessions there are at a time; with one more, the one that would end first ends.
    [<Literal>]
    let MostSessions = 1000

    /// So many of them belong to one user, so that nobody can end everybody else's by logging in.
    [<Literal>]
    let MostOfUser = 100

    /// A larger file is not read, in bytes.
    [<Literal>]
    let LongestFile = 524288

    /// No sessions.
    let empty: SessionFile =
        {
            ViewerPassword = ValueNone
            DeviceKey = [||]
            Sessions = [||]
        }

    [<Literal>]
    let private ViewerMark = "viewer-password "

    [<Literal>]
    let private DeviceMark = "device-key "

    let private isHex (length: int) (text: string) =
        text.Length = length && Seq.forall Char.IsAsciiHexDigitLower text

    let private sessionOf (line: string) : SessionRecord voption =
        match line.Split ' ' with
        | [| key; ends; stamp; name |] when isHex 64 key && isHex 16 stamp && (name = "-" || Credentials.isName name) ->
            match Int64.TryParse(ends, NumberStyles.None, CultureInfo.InvariantCulture) with
            // Up to the year 2286.
            | true, seconds when seconds < 10000000000L ->
                ValueSome
                    {
                        Key = key
                        Ends = DateTimeOffset.FromUnixTimeSeconds seconds
                        Stamp = stamp
                        Name = if name = "-" then "" else name
                    }
            | _ -> ValueNone
        | _ -> ValueNone

    /// What a file holds. A line that cannot be read costs its session: somebody logs in again.
    [<CompiledName "Parse">]
    let parse (text: string) : SessionFile =
        let lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries)

        {
            ViewerPassword =
                lines
                |> Array.tryPick (fun line ->
                    if line.StartsWith(ViewerMark, StringComparison.Ordinal) then
                        match Credentials.passwordOf (line.Substring ViewerMark.Length) with
                        | ValueSome password -> Some password
                        | ValueNone -> None
                    else
                        None)
                |> ValueOption.ofOption
            DeviceKey =
                lines
                |> Array.tryPick (fun line ->
                    let key = line.Substring(min line.Length DeviceMark.Length)

                    if line.StartsWith(DeviceMark, StringComparison.Ordinal) && isHex 64 key then
                        Some(Convert.FromHexString key)
                    else
                        None)
                |> Option.defaultValue [||]
            Sessions =
                lines
                |> Array.map sessionOf
                |> Array.filter _.IsValueSome
                |> Array.map _.Value
                |> Array.truncate MostSessions
        }

    /// The text of the file.
    [<CompiledName "Text">]
    let text (file: SessionFile) : string =
        let viewer =
            match file.ViewerPassword with
            | ValueSome password -> [ ViewerMark + Credentials.passwordText password ]
            | ValueNone -> []

        let device =
            if file.DeviceKey.Length = 0 then
                []
            else
                [ DeviceMark + Convert.ToHexStringLower file.DeviceKey ]

        let line (session: SessionRecord) =
            String.Join(
                ' ',
                session.Key,
                session.Ends.ToUnixTimeSeconds().ToString CultureInfo.InvariantCulture,
                session.Stamp,
                (if session.Name = "" then "-" else session.Name)
            )

        String.Join('\n', Seq.append (viewer @ device) (Seq.map line file.Sessions))
        + "\n"

    /// With one more session, and without those that are over or have to make room.
    [<CompiledName "Add">]
    let add (now: DateTimeOffset) (session: SessionRecord) (sessions: SessionRecord[]) : SessionRecord[] =
        let lasting =
            sessions
            |> Array.filter (fun other -> other.Ends > now && other.Key <> session.Key)
            |> Array.sortBy _.Ends.UtcTicks

        let own, others = lasting |> Array.partition (fun other -> other.Name = session.Name)

        let keep (most: int) (sessions: SessionRecord[]) =
            Array.skip (max 0 (sessions.Length - most)) sessions

        Array.append others (keep (MostOfUser - 1) own)
        |> Array.sortBy _.Ends.UtcTicks
        |> keep (MostSessions - 1)
        |> fun kept -> Array.append kept [| session |]
