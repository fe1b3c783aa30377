/// Backups of one database in a directory: what they are called, and which ones make room for new ones.
[<RequireQualifiedAccess>]
module Agent.Receiver.Backups

open System
open System.Globalization

[<Literal>]
let private Prefix = "ai-dashboard-"

[<Literal>]
let private Ending = ".db"

[<Literal>]
let private Pattern = "yyyyMMdd'T'HHmmss'Z'"

/// The name of a backup that is made now: its time, in UTC, to the second. Names sort as their times do.
[<CompiledName "NameOf">]
let nameOf (now: DateTimeOffset) : string =
    Prefix
    + now.ToUniversalTime().ToString(Pattern, CultureInfo.InvariantCulture)
    + Ending

/// Whether a file is called as this program calls its backups.
[<CompiledName "IsBackup">]
let isBackup (name: string) : bool =
    name.StartsWith(Prefix, StringComparison.Ordinal)
    && name.EndsWith(Ending, StringComparison.Ordinal)
    && name.Length > Prefix.Length + Ending.Length
    && (let time = name.Substring(Prefix.Length, name.Length - Prefix.Length - Ending.Length)

        DateTimeOffset.TryParseExact(time, Pattern, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal)
        |> fst)

/// Of the files of a directory the backups that go when so many are kept, the oldest first. Files with other names stay.
[<CompiledName "Surplus">]
let surplus (keep: int) (names: string seq) : string[] =
    let backups = names |> Seq.filter isBackup |> Seq.distinct |> Array.ofSeq
    Array.sortInPlaceWith (fun one other -> String.CompareOrdinal(one, other)) backups
    Array.truncate (backups.Length - keep) backups
