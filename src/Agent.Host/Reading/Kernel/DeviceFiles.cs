using System.Text;
using Agent.Core;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>What /sys says of block devices and network interfaces. Read beside the sampling: a machine may have hundreds.</summary>
internal sealed class DeviceFiles(string sysfs)
{
    private readonly ReadBuffer buffer = new();
    private Dictionary<string, SysText[]> known = new(StringComparer.Ordinal);

    /// <summary>All devices; of interfaces that were known before only what was known, unless all is looked at anew.</summary>
    public Devices.Known Read(bool anew = true)
    {
        var interfaces = new Dictionary<string, SysText[]>(StringComparer.Ordinal);

        foreach (var directory in SysFiles.Directories(Path.Join(sysfs, "class/net")))
        {
            // What is not a directory there is a file of the bonding driver.
            if (!anew && known.TryGetValue(directory, out var before))
            {
                interfaces[directory] = before;
            }
            else if (Directory.Exists(directory))
            {
                interfaces[directory] = [.. Interface(directory)];
            }
        }

        known = interfaces;

        return new Devices.Known(
            ReadBlocks(),
            NetClass.Parse([.. interfaces.Values.SelectMany(static texts => texts)]));
    }

    /// <summary>The block devices alone.</summary>
    public BlockDevices.Table ReadBlocks() =>
        BlockDevices.Parse([.. SysFiles.Directories(Path.Join(sysfs, "block")).SelectMany(Block)]);

    private IEnumerable<SysText> Block(string directory)
    {
        yield return Text(directory, "");
        var device = Path.Join(directory, "device");
        var hasDevice = Exists(device);

        if (hasDevice)
        {
            yield return Link(device);
        }

        // Most of what has no hardware is not asked further: partitions of nothing, loop devices, volumes.
        if (hasDevice || BlockDevices.IsDiskWithoutDevice(Path.GetFileName(directory).Replace('!', '/')))
        {
            foreach (var text in ((string[])["queue/iostats", "size", "pid"]).SelectMany(name => Files(directory, name)))
            {
                yield return text;
            }
        }
    }

    private IEnumerable<SysText> Interface(string directory)
    {
        yield return Link(directory);

        foreach (var entry in SysFiles.Directories(directory))
        {
            var name = Path.GetFileName(entry);

            var texts = name switch
            {
                "device" => Device(entry),
                "master" => [Link(entry)],
                "brport" => [Text(entry, ""), .. Links(entry, "bridge")],
                "bonding" => [Text(entry, ""), .. Files(entry, "slaves")],
                "bridge" => [Text(entry, "")],
                "brif" => SysFiles.Directories(entry).Select(static port => Text(port, "")),
                "tun_flags" or "uevent" or "type" or "ifindex" or "iflink" or "address" => [KernelFiles.ReadText(entry, buffer)],
                _ when name.StartsWith("lower_", StringComparison.Ordinal) => [Text(entry, "")],
                _ => (IEnumerable<SysText>)[],
            };

            foreach (var text in texts)
            {
                yield return text;
            }

            if (name == "device")
            {
                foreach (var text in Files(directory, "phys_port_name"))
                {
                    yield return text;
                }
            }
        }
    }

    private IEnumerable<SysText> Device(string device)
    {
        SysText[] driver = [.. Links(device, "driver")];
        return [Link(device), .. driver.Length > 0 ? driver : Files(device, "uevent"), .. Links(device, "subsystem"), .. Links(device, "physfn")];
    }

    private static IEnumerable<SysText> Links(string directory, string name) =>
        Exists(Path.Join(directory, name)) ? [Link(Path.Join(directory, name))] : [];

    private IEnumerable<SysText> Files(string directory, string name) =>
        File.Exists(Path.Join(directory, name)) ? [KernelFiles.ReadText(Path.Join(directory, name), buffer)] : [];

    private static bool Exists(string path) => Directory.Exists(path) || new FileInfo(path).LinkTarget is not null;

    /// <summary>Where a link leads, as its text; empty for a directory in its place.</summary>
    private static SysText Link(string path) => Text(path, new FileInfo(path).LinkTarget ?? "");

    private static SysText Text(string path, string content) =>
        new(path, FSharpResult<ReadOnlyMemory<byte>, SourceError>.NewOk(Encoding.UTF8.GetBytes(content + "\n")));
}
