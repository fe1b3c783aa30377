/// `/proc/filesystems`: the types the kernel knows, those without a device marked `nodev`.
/// See proc_filesystems(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Filesystems

open System
open System.Collections.Generic
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/filesystems"

/// Reads the types that need a block device: those without `nodev`.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<IReadOnlySet<string>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let types = HashSet<string>(StringComparer.Ordinal)
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let first = Text.toString (cursor.Field())

        if first = "nodev" then
            if cursor.Field().IsEmpty then
                failure <- ValueSome(cursor.Bad("type", "a file system type after nodev"))
        elif first.Length > 0 then
            types.Add first |> ignore

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd -> Error(cursor.NoLine "the last line")
    | ValueNone -> Ok(types :> IReadOnlySet<string>)

/// The mounts that occupy a disk: their type needs a device, or is zfs, which brings its own. A directory that was
/// mounted over counts once, with what is visible there.
[<CompiledName "OnDisk">]
let onDisk (types: IReadOnlySet<string>) (mounts: Mounts.Mount[]) : Mounts.Mount[] =
    let visible = Dictionary<string, Mounts.Mount>(StringComparer.Ordinal)

    for mount in mounts do
        visible[mount.MountPoint] <- mount

    mounts
    |> Array.filter (fun mount ->
        obj.ReferenceEquals(visible[mount.MountPoint], mount)
        && (mount.FsType = "zfs" || types.Contains mount.FsType))
