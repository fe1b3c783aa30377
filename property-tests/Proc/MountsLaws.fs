/// Laws of `/proc/self/mounts` and `/proc/filesystems`.
module Agent.PropertyTests.Proc.MountsLaws

open System
open System.Collections.Generic
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// As the kernel's mangle() writes a name: four characters as octal digits.
let private mangle (name: string) =
    let result = StringBuilder()

    for c in name do
        match c with
        | ' ' -> result.Append "\\040"
        | '\t' -> result.Append "\\011"
        | '\n' -> result.Append "\\012"
        | '\\' -> result.Append "\\134"
        | '#' -> result.Append "\\043"
        | c -> result.Append c
        |> ignore

    result.ToString()

let private path =
    upTo 4 (Gen.frequency [ 5, word; 1, Gen.elements [ " "; "\t"; "\n"; "\\"; "\\040"; "#"; "\r"; "é" ] ])
    |> Gen.map (fun parts -> "/" + String.Join("/", parts))

let private fsTypes = [ "ext4"; "xfs"; "zfs"; "ubifs"; "tmpfs"; "proc"; "nfs4"; "fuse.sshfs" ]

let private mount: Gen<Mounts.Mount> =
    gen {
        let! device = path
        let! point = Gen.frequency [ 1, Gen.elements [ "/"; "/home"; "/mnt" ]; 1, path ]
        let! kind = Gen.elements fsTypes

        return
            {
                Device = device
                MountPoint = point
                Path = Encoding.UTF8.GetBytes point
                FsType = kind
                IsReadOnly = false
                Place = ValueNone
            }
    }

let private mountTexts: Gen<Rendered<Mounts.Mount[]>> =
    upTo 4 mount
    |> Gen.map (fun mounts ->
        {
            Value = mounts
            Lines =
                mounts
                |> Array.map (fun m -> $"{mangle m.Device} {mangle m.MountPoint} {mangle m.FsType} rw,relatime 0 0")
        })

let private parseMounts (text: ReadOnlyMemory<byte>) = Mounts.parse text.Span

let private mountFormat = ParserLaws.formatOfLines mountTexts parseMounts ParserLaws.isStart

/// The same as /proc/self/mountinfo has it.
let private placedTexts: Gen<Rendered<Mounts.Mount[]>> =
    upTo
        4
        (gen {
            let! mount = mount
            let! id, parent = Gen.two (Gen.choose (1, 99))
            let! major, minor = Gen.two (Gen.choose (0, 9))
            let! root = Gen.elements [ "/"; "/@home"; "/a b" ]
            let! tags = Gen.elements [ ""; "shared:1 "; "shared:1 master:2 unbindable " ]
            let! isReadOnly = Gen.elements [ false; true ]
            let options = if isReadOnly then "ro,relatime" else "rw,relatime"

            return
                { mount with
                    IsReadOnly = isReadOnly
                    Place =
                        ValueSome
                            {
                                Id = uint64 id
                                Parent = uint64 parent
                                DeviceNumber = $"{major}:{minor}"
                                Root = root
                            }
                },
                $"{id} {parent} {major}:{minor} {mangle root} {mangle mount.MountPoint} {options} {tags}- {mangle mount.FsType} {mangle mount.Device} rw"
        })
    |> Gen.map (fun rows ->
        {
            Value = Array.map fst rows
            Lines = Array.map snd rows
        })

let private parsePlaced (text: ReadOnlyMemory<byte>) = MountInfo.parse text.Span
let private placedFormat = ParserLaws.formatOfLines placedTexts parsePlaced ParserLaws.isStart

/// The types that need a device, sorted, and lines that say so.
let private typeTexts: Gen<Rendered<string[]>> =
    gen {
        let! types = upTo 5 word
        let! bare = Gen.arrayOfLength types.Length (Gen.elements [ true; false ])
        let types = types |> Array.map (fun name -> "f" + name)

        return
            {
                Value =
                    (types, bare)
                    ||> Array.zip
                    |> Array.filter snd
                    |> Array.map fst
                    |> Array.distinct
                    |> Array.sort
                Lines = Array.map2 (fun name bare -> if bare then "\t" + name else "nodev\t" + name) types bare
            }
    }

let private typeFormat =
    ParserLaws.format
        typeTexts
        (fun text ->
            Filesystems.parse text.Span
            |> Parsed.strict
            |> Result.map (fun types -> types |> Seq.sort |> Array.ofSeq))
        (fun part whole -> part |> Array.forall (fun name -> Array.contains name whole))

let private withTypes = Gen.zip (upTo 6 mount) (Gen.subListOf fsTypes)

let private onDisk (mounts, types: string list) =
    Filesystems.onDisk (HashSet<string> types) mounts

/// A mount of a file system of its own.
let private placed (id: int) (parent: int) (point: string) : Mounts.Mount =
    {
        Device = $"/dev/d{id}"
        MountPoint = point
        Path = Encoding.UTF8.GetBytes point
        FsType = "ext4"
        IsReadOnly = false
        Place =
            ValueSome
                {
                    Id = uint64 id
                    Parent = uint64 parent
                    DeviceNumber = $"8:{id}"
                    Root = "/"
                }
    }

let private deviceOf (mount: Mounts.Mount) : string = mount.Device

/// Mounts that hang on each other, on themselves, in circles, or on what is not told.
let private hangingMounts: Gen<Mounts.Mount[]> =
    upTo 6 (Gen.zip (Gen.choose (0, 7)) (Gen.elements [ "/"; "/a"; "/a/b"; "/c" ]))
    |> Gen.map (Array.mapi (fun i (parent, point) -> placed (i + 1) parent point))

let tests =
    testList
        "Proc.Mounts and Proc.Filesystems"
        [
            testList
                "Mounts"
                [
                    yield! ParserLaws.all mountFormat
                    ParserLaws.extraColumns mountFormat (fun _ _ -> true) word
                    yield! ParserLaws.badLines mountTexts parseMounts 0 (fun line -> ValueSome((line.Split ' ')[0]))
                ]
            testList
                "MountInfo"
                [
                    yield! ParserLaws.all placedFormat
                    ParserLaws.extraColumns placedFormat (fun _ _ -> true) word
                    yield! ParserLaws.badLines placedTexts parsePlaced 0 (fun line -> ValueSome(line.Replace(":", ";")))
                ]
            testList
                "Filesystems"
                [
                    yield! ParserLaws.all typeFormat
                    ParserLaws.extraColumns typeFormat (fun _ _ -> true) word
                ]
            law "file systems on disks need a device or bring their own, and are mounts of the text" withTypes (fun (mounts, types) ->
                onDisk (mounts, types)
                |> Array.forall (fun m ->
                    (List.contains m.FsType [ "zfs"; "ubifs" ]
                     || List.contains ((m.FsType.Split '.')[0]) types
                     || List.contains m.FsType types)
                    && mounts |> Array.exists (fun other -> obj.ReferenceEquals(m, other))))
            law "a directory counts at most once, with what is visible there" withTypes (fun (mounts, types) ->
                let kept = onDisk (mounts, types)

                (kept |> Array.distinctBy (fun m -> m.MountPoint)).Length = kept.Length
                && kept
                   |> Array.forall (fun m ->
                       obj.ReferenceEquals(m, mounts |> Array.findBack (fun other -> other.MountPoint = m.MountPoint))))
            law "a device counts at most once, however often it is mounted" withTypes (fun (mounts, types) ->
                let repeated =
                    mounts
                    |> Array.collect (fun m ->
                        [|
                            m
                            { m with
                                MountPoint = m.MountPoint + "/again"
                            }
                        |])

                let kept = onDisk (repeated, types)
                (kept |> Array.distinctBy (fun m -> m.Device)).Length = kept.Length)
            law "any name comes back byte by byte, and is shown as text" (upTo 9 (Gen.choose (0, 255))) (fun codes ->
                let name = [| yield '/'B; yield! codes |> Array.map byte |]

                let escaped =
                    name
                    |> Array.collect (fun b ->
                        if b <= ' 'B || b = '\\'B || b = '#'B then
                            Encoding.ASCII.GetBytes("\\" + Convert.ToString(int b, 8).PadLeft(3, '0'))
                        else
                            [| b |])

                match Mounts.parse (ReadOnlySpan [| yield! "a "B; yield! escaped; yield! " ext4 rw 0 0\n"B |]) with
                | Ok read ->
                    read.FaultCount = 0
                    && same read.Value[0].Path name
                    && not (read.Value[0].MountPoint.Contains '\uFFFD')
                    && (not (Unicode.Utf8.IsValid(ReadOnlySpan name))
                        || Encoding.UTF8.GetString name = read.Value[0].MountPoint)
                | Error _ -> false)
            law "of mounts of any shape, in circles too, one is seen" hangingMounts (fun mounts ->
                mounts.Length = 0 || (onDisk (mounts, fsTypes)).Length > 0)
            law "a mount on itself hides no other and none hides it but what is on it" hangingMounts (fun mounts ->
                let seen = onDisk (mounts, fsTypes) |> Array.map deviceOf
                let first = placed 50 50 "/"

                same (onDisk (Array.append mounts [| first |], fsTypes) |> Array.map deviceOf) (Array.append seen [| deviceOf first |]))
            law "of mounts with their places, a device number counts at most once" placedTexts (fun text ->
                let kept = onDisk (text.Value, fsTypes)

                (kept |> Array.distinctBy (fun m -> m.Place.Value.DeviceNumber)).Length = kept.Length)
        ]
