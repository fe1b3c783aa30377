/// `/etc/passwd`: the names of a machine's own users. See passwd(5). `name:password:uid:…` on each line.
[<RequireQualifiedAccess>]
module Agent.Core.Jobs.Users

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/etc/passwd"

/// One user.
[<Struct>]
[<NoComparison>]
type User =
    {
        /// The number.
        Uid: int64
        /// The name.
        Name: string
    }

/// Reads every user in the order of the text; of several names of one number the first counts. Lines that begin with # are comments, those
/// with + or - are for name services.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<User[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let users = ResizeArray<User>()

    while cursor.NextLine() do
        let line = cursor.Line

        if not (line.IsEmpty || line[0] = '#'B || line[0] = '+'B || line[0] = '-'B) then
            let name = line.IndexOf ':'B
            let password = if name < 0 then -1 else line.Slice(name + 1).IndexOf ':'B
            let mutable uid = 0UL

            if name <= 0 || password < 0 then
                faults.Add(cursor.Bad("name", "a name, a password and a number, with colons between"))
            else
                let rest = line.Slice(name + password + 2)
                let past = rest.IndexOf ':'B

                if
                    past > 0
                    && Text.tryUInt64 (rest.Slice(0, past), &uid)
                    && uid <= uint64 UInt32.MaxValue
                then
                    users.Add
                        {
                            Uid = int64 uid
                            Name = Text.toString (line.Slice(0, name))
                        }
                else
                    faults.Add(cursor.Bad("uid", "the number of a user"))

    faults.AddTorn &cursor
    faults.AroundAny users

/// The name of a number; empty when there is none.
[<CompiledName "NameOf">]
let nameOf (users: User[]) (uid: int64) : string =
    match users |> Array.tryFind (fun user -> user.Uid = uid) with
    | Some user -> user.Name
    | None -> ""
